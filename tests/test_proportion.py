"""Shares and their Wilson interval against solving its defining equation numerically."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlab.proportion import Proportion

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
    assert share.interval == pytest.approx(solved(*share), abs=1e-9)


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
