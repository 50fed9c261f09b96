"""The Bayes predictor against plain enumeration."""

import pytest
import torch

from sequences.bayes import acceptance, bayes_predictions, bayes_probabilities, explained
from sequences.curriculum import draw
from sequences.evaluation import held_out
from sequences.families import FAMILIES
from sequences.family import MASKED
from tests.reference.recurrences import NEXT

BY_NAME = {family.name: family for family in FAMILIES}
FINAL = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)


def by_enumeration(family, terms):
    """{(length, next): summed probability of initial terms} of one sequence, in plain Python."""
    weights = {}
    for rule in family.rules.tolist():
        sequence = terms[: family.order]
        while len(sequence) < 9:
            sequence.append(NEXT[family.name](rule, sequence))
        tensor, rule_row = torch.tensor([sequence]), torch.tensor([rule]).view(1, -1)
        kept = all(0 <= x <= 255 for x in sequence) and not family.degenerate(rule_row, tensor).item()
        if not kept:
            continue
        probability = float(family.initial_probability(rule_row, tensor[:, : family.order]))
        for length in range(3, 9):
            if sequence[:length] == terms[:length]:
                key = (length, sequence[length])
                weights[key] = weights.get(key, 0.0) + probability
    return weights


@pytest.mark.parametrize(
    "name", ["constant", "arithmetic", "linear_order_two", "ratio", "doubled_terms", "composition"]
)
def test_weights_are_those_of_enumeration(name):
    terms = held_out(2, "test", 200).terms[:6]
    terms = torch.cat([terms[(terms != MASKED).all(1)], torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21, 34], [7] * 9])])
    family = BY_NAME[name]
    found = explained(family, terms)
    for row, sequence in zip(found, terms.tolist(), strict=True):
        weights = by_enumeration(family, sequence)
        assert row.sum() == pytest.approx(sum(weights.values()))
        for (length, value), weight in weights.items():
            assert row[length - 3, value] == pytest.approx(weight)


def test_probabilities_add_up_and_ignore_what_comes_later():
    terms = held_out(1, "val", 200).terms[:40]
    probabilities = bayes_probabilities(terms)
    total = probabilities.sum(-1)
    assert (((total - 1).abs() < 1e-9) | (total == 0)).all()
    changed = terms.clone()
    changed[:, 6:] = 255 - changed[:, 6:]
    assert torch.allclose(bayes_probabilities(changed)[:, :4], probabilities[:, :4])


def test_the_ceiling_is_near_the_top_at_eight_terms_and_calibrated_at_three():
    """On sequences of the prior itself the probability it gives its own choice is the share of right choices."""
    terms = draw(7, 0, 600, lambda indices: FINAL.expand(len(indices), -1)).terms
    predictions, nats = bayes_predictions(terms)
    assert (predictions[:, :2] == MASKED).all()
    whole = terms[:, -1] != MASKED
    assert (predictions[whole, -1] == terms[whole, -1]).double().mean() > 0.97
    known = terms[:, 3] != MASKED
    right = (predictions[known, 2] == terms[known, 3]).double().mean()
    confidence = bayes_probabilities(terms[known])[:, 0].max(-1).values.mean()
    assert float(right) == pytest.approx(float(confidence), abs=0.05)
    assert 0.6 < right < 0.95
    assert nats[known, 2].isfinite().all()


def test_acceptance_is_the_share_of_kept_draws():
    assert acceptance(BY_NAME["constant"]) == 1
    steps = torch.arange(1, 32)
    exact = 2 * (256 - 8 * steps).clamp(min=0).sum() / (62 * 256)
    assert acceptance(BY_NAME["arithmetic"]) == pytest.approx(float(exact), abs=0.005)
