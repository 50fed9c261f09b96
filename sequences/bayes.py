"""The Bayes-optimal predictor of the generator: all rules of all families, weighted by their posterior."""

from functools import cache

import torch
from torch import Tensor

from seqlab.randomness import uniforms
from sequences.families import FAMILIES, FINAL_MIX
from sequences.family import MASKED, NUM_TERMS, NUM_VALUES, Family

FIRST_LENGTH = 3  # shortest prefix: the initial terms of any family and one more term that tests a rule
PAIRS_AT_ONCE = 2**21  # (sequence, rule) pairs per chunk


def bayes_probabilities(terms: Tensor) -> Tensor:
    """The probability of each next value after each prefix of 3 to 8 terms, (n, 6, 256) float64; rows sum to 1.

    The prior is the final mixture: a phase by its weight, then a family of the phase and a rule of the family
    uniformly, then initial terms as the family draws them, all conditional on the sequence being kept. It includes the
    rules of all splits and does not know the split of a sequence. Rows are zero if the sequence has ended or no rule
    explains the prefix.

    Args:
        terms: (n, 9), MASKED where a sequence has ended. Each prefix predicts its next term; later terms are not used.
    """
    weights = torch.zeros(len(terms), NUM_TERMS - FIRST_LENGTH, NUM_VALUES, dtype=torch.float64)
    for family in FAMILIES:
        members = sum(other.phase == family.phase for other in FAMILIES)
        prior = FINAL_MIX[family.phase - 1] / members / (len(family.rules) * acceptance(family))
        rows_at_once = max(1, PAIRS_AT_ONCE // len(family.rules))
        for start in range(0, len(terms), rows_at_once):
            rows = slice(start, start + rows_at_once)
            weights[rows] += prior * explained(family, terms[rows])
    total = weights.sum(-1, keepdim=True)
    return torch.where(total > 0, weights / total, 0)


def explained(family: Family, terms: Tensor) -> Tensor:
    """Weights of the next values under one family: (n, 6, 256) float64.

    For each prefix, every rule that agrees with it adds the probability of the initial terms at its next value.
    """
    weights = torch.zeros(len(terms), NUM_TERMS - FIRST_LENGTH, NUM_VALUES, dtype=torch.float64)
    rules = torch.arange(len(family.rules)).repeat(len(terms))
    rows = torch.arange(len(terms)).repeat_interleave(len(family.rules))
    initial = terms[:, : family.order]
    # first check the terms after the initial ones, up to the shortest prefix: few rules pass
    known = initial
    for place in range(family.order, FIRST_LENGTH):
        agrees = family.next_(family.rules[rules], known[rows]) == terms[rows, place]
        rules, rows = rules[agrees], rows[agrees]
        known = terms[:, : place + 1]
    sequences, kept = family.sequences(family.rules[rules], initial[rows])
    probability = family.initial_probability(family.rules[rules], initial[rows])
    alive = kept
    for index, length in enumerate(range(FIRST_LENGTH, NUM_TERMS)):
        alive = alive & (sequences[:, :length] == terms[rows, :length]).all(1) & (sequences[:, length] != MASKED)
        weights[:, index].index_put_((rows[alive], sequences[alive, length]), probability[alive], accumulate=True)
    return weights


def bayes_predictions(terms: Tensor) -> tuple[Tensor, Tensor]:
    """The most probable next term after each prefix, (n, 8), and the log-loss of the true one in nats, (n, 8).

    Prefixes of fewer than three terms have the prediction MASKED and 0 nats.
    """
    probabilities = bayes_probabilities(terms)
    predictions = torch.full((len(terms), NUM_TERMS - 1), MASKED)
    predictions[:, FIRST_LENGTH - 1 :] = probabilities.argmax(-1)
    nats = torch.zeros(predictions.shape, dtype=torch.float64)
    true = probabilities.gather(-1, terms[:, FIRST_LENGTH:, None].clamp(min=0)).squeeze(-1)
    nats[:, FIRST_LENGTH - 1 :] = -true.log()
    return predictions, nats


def generated(terms: Tensor) -> Tensor:
    """Which sequences (n, 9) some rule of the generator produces, (n,) bool."""
    last = terms[:, -1]
    rows = torch.arange(len(terms))
    return sum(explained(family, terms)[rows, -1, last] for family in FAMILIES) > 0  # type: ignore[return-value]


@cache
def acceptance(family: Family, count: int = 2**17) -> float:
    """The proportion of draws that a family keeps, estimated from `count` draws with a fixed seed."""
    numbers = uniforms(0, f"acceptance {family.name}", 0, count, family.order + 2)
    rules = family.rules[(numbers[:, 0] * len(family.rules)).long()]
    return float(family.sequences(rules, family.initial(rules, numbers[:, 1:]))[1].double().mean())
