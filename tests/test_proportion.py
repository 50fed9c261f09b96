"""Shares and their Wilson interval against solving its defining equation numerically."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqlab.proportion import Proportion, student

Z = 1.959963984540054  # 97.5% point of the normal distribution


def solved(hits, trials):
    """The two p at which hits / trials lies Z standard deviations of p away, by bisection."""
    share = hits / trials

    def too_far(p):
        return abs(share - p) > Z * (p * (1 - p) / trials) ** 0.5

    bounds = []
    for outside in (0.0, 1.0):
        inside = share
        if not too_far(outside):
            inside = outside
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if too_far(middle) else (middle, outside)
        bounds.append(inside)
    return tuple(bounds)


@st.composite
def shares(draw):
    trials = draw(st.integers(1, 10_000))
    return Proportion(draw(st.integers(0, trials)), trials)


@given(shares())
def test_interval_solves_its_equation(share):
    assert share.interval == pytest.approx(solved(share.hits, share.trials), abs=1e-9)


@given(shares())
def test_interval_lies_in_the_unit_interval_around_the_value(share):
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1
    assert low < high


@given(shares())
def test_interval_of_the_misses_is_the_mirror_image(share):
    low, high = share.interval
    mirrored = Proportion(share.trials - share.hits, share.trials).interval
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(
    ("hits", "trials", "interval"),
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_published_intervals(hits, trials, interval):
    assert Proportion(hits, trials).interval == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize("trials", [1, 7, 40, 10**9])
def test_none_and_all(trials):
    """At 0 and at n one bound is exact, and the interval still has a width."""
    none, every = Proportion(0, trials), Proportion(trials, trials)
    width = Z**2 / (trials + Z**2)
    assert none.value == 0.0 and none.interval == (0.0, pytest.approx(width))
    assert every.value == 1.0 and every.interval == (pytest.approx(1 - width), 1.0)


def test_nothing_tried_is_no_share_and_not_zero():
    assert Proportion(0, 0).value is None
    assert Proportion(0, 0).interval is None


def test_more_trials_make_a_narrower_interval():
    intervals = [Proportion(3 * n, 10 * n).interval or (0, 0) for n in (1, 4, 16, 64, 256)]
    widths = [high - low for low, high in intervals]
    assert widths == sorted(widths, reverse=True)
    assert widths[-2] / widths[-1] == pytest.approx(2, rel=0.01)


def test_clusters_of_equal_trials_are_worth_one_each():
    """The interval of 30 of 40 copied ten times over is that of 40 trials, but for Student's quantile."""
    one = torch.arange(40) < 30
    ten = Proportion.clustered(one.repeat_interleave(10), torch.arange(40).repeat_interleave(10))
    assert (ten.hits, ten.trials) == (300, 400)
    assert ten.effective == pytest.approx(39 * (Z / student(39)) ** 2)
    assert ten.interval == pytest.approx(Proportion(30, 40).interval, abs=0.01)
    everything = Proportion.clustered(torch.ones(400, dtype=torch.bool), torch.arange(40).repeat_interleave(10))
    assert everything.effective == pytest.approx(40 * (Z / student(39)) ** 2)
    assert everything.interval[1] == 1.0


def test_the_variance_over_clusters_is_that_of_a_plain_sum():
    generator = torch.Generator().manual_seed(0)
    clusters = torch.randint(7, (60,), generator=generator) * 1000 - 3000
    hits = torch.rand(60, generator=generator) < 0.4 + clusters / 10_000
    p, squares = float(hits.double().mean()), 0.0
    for name in set(clusters.tolist()):
        own = hits[clusters == name].tolist()
        squares += (sum(own) - p * len(own)) ** 2
    variance = 7 / 6 * squares / 60**2
    expected = min(60, p * (1 - p) / variance * (Z / 2.4469118) ** 2)  # Student's 97.5% point for 6 degrees
    assert Proportion.clustered(hits, clusters).effective == pytest.approx(expected)


def test_trials_alone_in_their_clusters_are_independent():
    hits = torch.arange(5000) % 3 == 0
    found = Proportion.clustered(hits, torch.arange(5000))
    assert found.interval == pytest.approx(Proportion(found.hits, 5000).interval, abs=1e-4)


def test_a_single_cluster_is_one_trial_and_none_is_none():
    assert Proportion.clustered(torch.ones(9, dtype=torch.bool), torch.zeros(9)) == Proportion(9, 9, 1.0)
    assert Proportion.clustered(torch.ones(0, dtype=torch.bool), torch.zeros(0)).interval is None


def test_a_weighted_proportion_of_one_stratum_and_equal_weights_is_the_clustered_one():
    generator = torch.Generator().manual_seed(3)
    clusters = torch.randint(30, (200,), generator=generator)
    hits = torch.rand(200, generator=generator) < clusters / 30
    found = Proportion.weighted(hits, torch.full((200,), 7.0), clusters, torch.zeros(200))
    expected = Proportion.clustered(hits, clusters)
    assert found.value == pytest.approx(expected.value)
    assert (found.trials, found.effective) == (200, pytest.approx(expected.effective))


def test_the_interval_of_a_weighted_proportion_is_that_of_clusters_resampled_in_strata():
    """Two strata, one with three times the weight of the other; 20,000 samples with replacement."""
    generator = torch.Generator().manual_seed(4)
    clusters = torch.arange(120).repeat_interleave(3)
    strata = (clusters >= 40).long()
    hits = torch.rand(120, generator=generator)[clusters] < torch.where(strata == 0, 0.4, 0.7)
    weights = torch.where(strata == 0, 3.0 / 120, 1.0 / 240)
    found = Proportion.weighted(hits, weights, clusters, strata)
    means = hits.double().view(120, 3).mean(1)
    picks = [
        means[part][torch.randint(len(part), (20_000, len(part)), generator=generator)].mean(1)
        for part in (torch.arange(40), torch.arange(40, 120))
    ]
    resampled = 0.75 * picks[0] + 0.25 * picks[1]
    low, high = found.interval or (0.0, 0.0)
    assert found.value == pytest.approx(float(resampled.mean()), abs=0.003)
    assert (high - low) / 2 == pytest.approx(1.96 * float(resampled.std()), rel=0.1)


def test_weighted_proportions_of_all_and_none_are_exact_and_their_heavier_clusters_count_less():
    every, weights = torch.ones(10, dtype=torch.bool), torch.tensor([9.0] + [1.0] * 9)
    found = Proportion.weighted(every, weights, torch.arange(10), torch.zeros(10))
    assert (found.hits, found.value, (found.interval or (0, 0))[1]) == (10, 1.0, 1.0)
    assert (found.effective or 10) < 10 / 2
    none = Proportion.weighted(~every, weights, torch.arange(10), torch.zeros(10))
    assert (none.hits, (none.interval or (1, 1))[0]) == (0, 0.0)
    assert Proportion.weighted(every[:0], weights[:0], torch.arange(0), torch.zeros(0)) == Proportion(0, 0)


def by_variances(hits, weights, strata):
    """The interval from the sum of the strata's variances, each trial a cluster: what `weighted` must do better."""
    p = float(weights @ hits.double())
    variance = 0.0
    for name in strata.unique():
        share, own = float(weights[strata == name].sum()), hits[strata == name].double()
        variance += share**2 * float(own.var()) / len(own)
    n = p * (1 - p) / variance if variance else len(hits)
    return Proportion(p * len(hits), len(hits), min(float(len(hits)), n)).interval


def covers(truths, sizes, interval_of):
    """The proportion of 400 draws whose interval has the truth in it; strata of equal weight."""
    strata = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    weights = (1 / torch.tensor(sizes, dtype=torch.float64) / len(sizes))[strata]
    chances, truth, found = torch.tensor(truths)[strata], sum(truths) / len(truths), 0
    generator = torch.Generator().manual_seed(1)
    for _ in range(400):
        low, high = interval_of(torch.rand(len(strata), generator=generator) < chances, weights, strata)
        found += low <= truth <= high
    return found / 400


@pytest.mark.parametrize(
    ("truths", "sizes"),
    [
        ((0.9, 0.5), (10, 300)),
        ((0.9, 0.98, 1, 0.99, 1), (4, 10, 15, 40, 60)),
        ((0.95, 0.96, 0.97, 0.9, 1), (4, 10, 15, 40, 60)),
        ((0.5, 0.2, 1, 0.7, 0.98), (4, 10, 15, 40, 60)),
    ],
)
def test_the_interval_over_strata_covers_the_truth_as_often_as_it_says(truths, sizes):
    def interval_of(hits, weights, strata):
        return Proportion.weighted(hits, weights, torch.arange(len(hits)), strata).interval

    assert covers(truths, sizes, interval_of) >= 0.94


def test_a_sum_of_variances_would_not():
    """It is certain of a stratum whose few clusters are all right. So `weighted` adds intervals."""
    assert covers((0.9, 0.5), (10, 300), by_variances) < 0.9


def test_a_stratum_that_is_all_right_is_not_certain():
    """Of two strata, one of five clusters that are all right: the interval is wider than the other's share of it."""
    hits = torch.cat([torch.ones(5), torch.arange(1000) % 2]).bool()
    strata = torch.arange(1005) >= 5
    weights = torch.where(strata, 0.5 / 1000, 0.5 / 5).double()
    low, high = Proportion.weighted(hits, weights, torch.arange(1005), strata).interval or (0, 0)
    least, most = Proportion.clustered(hits[5:], torch.arange(1000)).interval or (0, 1)
    assert (high - low) > 3 * 0.5 * (most - least)
