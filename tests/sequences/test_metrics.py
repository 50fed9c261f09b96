"""Metrics and losses against plain loops."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from seqlab.proportion import Proportion
from sequences.curriculum import Samples
from sequences.families import FAMILIES, family_shares
from sequences.family import MASKED
from sequences.loss import expected_distance, weighted_cross_entropy
from sequences.metrics import NextTermMetrics, clusters_of, exact_match, proportion


@pytest.fixture
def some():
    generator = torch.Generator().manual_seed(0)
    terms = torch.randint(256, (40, 9), generator=generator)
    predictions = torch.where(torch.rand(40, 8, generator=generator) < 0.5, terms[:, 1:], 7)
    family = torch.arange(40) % len(FAMILIES)
    terms[3, 6:], terms[20, 4:] = MASKED, MASKED
    predictions[5, :2] = MASKED
    return predictions, Samples(terms, family, torch.arange(40) % 3, 1 + torch.arange(40) % 3 / 2)


def plain(predictions, samples, wanted, shares, by_frequency=False):
    """The weighted hits and distances of the (row, place) that `wanted` takes: a mean of means of means."""
    terms, family, rules, frequency = samples
    found = {}  # family -> rule -> [(hit, distance)]
    worth = {}
    for row in range(len(terms)):
        places = [p for p in range(8) if terms[row, p + 1] != MASKED]
        for place in places:
            if predictions[row, place] != MASKED and wanted(int(family[row]), place, place == places[-1]):
                off = abs(int(predictions[row, place] - terms[row, place + 1]))
                found.setdefault(int(family[row]), {}).setdefault(int(rules[row]), []).append((off == 0, off))
                worth[int(family[row]), int(rules[row])] = float(frequency[row]) if by_frequency else 1.0
    total = sum(float(shares[number]) for number in found)
    sums = [0.0, 0.0]
    for number, of_rules in found.items():
        whole = sum(worth[number, rule] for rule in of_rules)
        for rule, pairs in of_rules.items():
            weight = float(shares[number]) / total * worth[number, rule] / whole
            for index in (0, 1):
                sums[index] += weight * sum(pair[index] for pair in pairs) / len(pairs)
    count = sum(len(pairs) for of_rules in found.values() for pairs in of_rules.values())
    return sums[0], sums[1], count


@pytest.mark.parametrize("pieces", [1, 3])
def test_results_are_those_of_a_loop(some, pieces):
    metrics = NextTermMetrics()
    predictions, samples = some
    parts = zip(*(values.chunk(pieces) for values in samples), strict=True)
    for part, terms in zip(predictions.chunk(pieces), parts, strict=True):
        metrics.update(part, Samples(*terms))
    results = metrics.compute()
    wanted = {"": lambda f, place, final: final}
    wanted |= {f"_by_length/{n + 1}": lambda f, place, final, n=n: place == n for n in range(8)}
    wanted |= {f"_by_phase/phase_{p}": lambda f, place, final, p=p: final and FAMILIES[f].phase == p for p in (1, 2, 3)}
    wanted |= {f"_by_family/{m.name}": lambda f, place, final, i=i: final and f == i for i, m in enumerate(FAMILIES)}
    assert len(results) == 2 * len(wanted) + 2
    for part, condition in wanted.items():
        accuracy, distance, count = plain(*some, condition, family_shares())
        assert results[f"accuracy{part}"].value == pytest.approx(accuracy)
        assert results[f"accuracy{part}"].trials == count
        assert results[f"distance{part}"] == pytest.approx(distance)
    macro, _, _ = plain(*some, wanted[""], torch.ones(len(FAMILIES)))
    mixed, _, _ = plain(*some, wanted[""], family_shares(), by_frequency=True)
    assert results["accuracy_macro"].value == pytest.approx(macro)
    assert results["accuracy_mixture"].value == pytest.approx(mixed)
    assert len({round(value, 6) for value in (macro, mixed, results["accuracy"].value)}) == 3


def test_the_sequences_of_a_rule_are_one_cluster_and_those_of_a_family_of_one_rule_are_none():
    """Arithmetic (1) and ratio (6) have several rules, constants (0) one."""
    terms = torch.stack([torch.arange(9) + start for start in (0, 1, 0, 0, 5, 0, 0, 1)])
    family, rule = torch.tensor([1, 1, 1, 6, 6, 6, 0, 0]), torch.tensor([3, 3, 4, 3, 3, 4, 0, 0])
    one, same, other, first, second, third, alone, apart = clusters_of(
        Samples(terms, family, rule, torch.ones(8))
    ).tolist()
    assert one == same and first == second
    assert len({one, other, first, third, alone, apart}) == 6


def test_a_rule_is_one_trial_however_many_sequences_it_has():
    """Two rules, one always right, one always wrong: the interval says next to nothing."""
    rule = torch.arange(40) % 2
    samples = Samples(torch.arange(9).repeat(40, 1), torch.ones(40, dtype=torch.int64), rule, torch.ones(40))
    metrics = NextTermMetrics()
    predictions = torch.where(samples.rule[:, None] == 0, samples.terms[:, 1:], 7)
    predictions[:, 6] = 0
    metrics.update(predictions, samples)
    found = metrics.compute()["accuracy"]
    assert (found.hits, found.trials) == (pytest.approx(20), 40)
    assert found.interval[0] < 0.05 and found.interval[1] > 0.95


def test_many_sequences_of_one_rule_weigh_as_much_as_one_of_another():
    rule = torch.tensor([0] * 9 + [1])
    samples = Samples(torch.arange(9).repeat(10, 1), torch.ones(10, dtype=torch.int64), rule, torch.ones(10))
    found = proportion(rule == 1, samples)
    assert found.value == pytest.approx(0.5)
    assert proportion(rule < 2, samples)[:2] == (10, 10)


def test_nats_are_averaged_over_real_targets(some):
    predictions, samples = some
    predictions[5, :2] = 0
    metrics = NextTermMetrics()
    metrics.update(predictions, samples, torch.full(predictions.shape, math.log(256)))
    assert metrics.compute()["cross_entropy"] == pytest.approx(math.log(256))


def test_exact_match_counts_only_what_stays_in_range():
    truth = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 256], [0] * 8])
    found = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 255], [0] * 7 + [1]])
    samples = Samples(torch.arange(27).view(3, 9), torch.tensor([1, 1, 4]), torch.tensor([5, 5, 0]), torch.ones(3))
    results = exact_match(found, truth, samples)
    assert results["exact_match"][:2] == (1, 2)
    assert results["exact_match_by_family/arithmetic"][:2] == (1, 1)
    assert results["exact_match_by_phase/phase_2"][:2] == (0, 1)
    assert results["exact_match_by_phase/phase_3"] == Proportion(0, 0)


@pytest.mark.parametrize(("weighting", "power"), [("linear", 1), ("sqrt", 0.5), ("quadratic", 2)])
def test_weighted_cross_entropy(weighting, power):
    logits = torch.randn(6, 256, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    target = torch.tensor([0, 3, 255, 100, 5, int(logits[5].argmax())])
    total = 0.0
    for row, right in zip(logits, target, strict=True):
        weight = 1 + 0.1 * abs(int(row.argmax()) - int(right)) ** power
        total += weight * float(cross_entropy(row, right))
    found = weighted_cross_entropy(logits, target, alpha=0.1, weighting=weighting)
    assert float(found) == pytest.approx(total / 6)


def test_the_argmax_distance_carries_no_gradient():
    """Its gradient is the weighted gradient of the cross-entropy alone, wherever the target lies."""
    logits = torch.randn(1, 256, requires_grad=True)
    target = torch.tensor([17])
    weight = 1 + 0.1 * abs(int(logits.argmax()) - 17)
    (found,) = torch.autograd.grad(weighted_cross_entropy(logits, target, alpha=0.1, weighting="linear"), logits)
    (plain_gradient,) = torch.autograd.grad(cross_entropy(logits, target), logits)
    assert torch.allclose(found, weight * plain_gradient)


def test_expected_distance():
    logits = torch.randn(3, 256, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 128, 250])
    probabilities = logits.detach().exp() / logits.detach().exp().sum(1, keepdim=True)
    expected = [
        sum(float(p) * abs(k - int(t)) for k, p in enumerate(row)) for row, t in zip(probabilities, target, strict=True)
    ]
    assert float(expected_distance(logits, target).detach()) == pytest.approx(sum(expected) / 3)
    assert torch.autograd.gradcheck(lambda x: expected_distance(x, target), logits)


def test_uniform_logits_lie_85_33_from_uniform_targets():
    distance = expected_distance(torch.zeros(256, 256, dtype=torch.float64), torch.arange(256))
    assert float(distance) == pytest.approx((256**2 - 1) / (3 * 256))
    assert float(distance) == pytest.approx(85.33, abs=0.01)
