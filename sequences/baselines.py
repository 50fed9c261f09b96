"""The baselines of a run and the scores on real sequences, with the same metrics as a model."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.attempts import Attempts
from sequences.bayes import bayes_predictions
from sequences.curriculum import Samples
from sequences.families import FAMILIES
from sequences.family import MASKED, NUM_TERMS, NUM_VALUES
from sequences.metrics import NextTermMetrics, Row, exact_match, parts_of, weights_of
from sequences.named import named, window_accuracy
from sequences.solvers import SOLVERS
from sequences.vote import after_each, vote
from sequences.vote import continued as voted

NUM_BAYES = 1000  # test sequences for the Bayes predictor, which takes about ten seconds
Predict = Callable[[Tensor], Tensor]  # terms (n, t) -> next terms (n,)


class Ways(NamedTuple):
    """How a solver answers for whole sequences.

    after_each: terms (n, t) -> the next term after each of them, from those up to it, (n, t).
    continued: terms (n, t), count -> the next `count` terms, each from all terms before it, (n, count).
    """

    after_each: Callable[[Tensor], Tensor]
    continued: Callable[[Tensor, int], Tensor]


def plain(solver: Predict) -> Ways:
    """The ways of any solver: it is asked again for each term."""

    def each(terms: Tensor) -> Tensor:
        return torch.stack([solver(terms[:, :length]) for length in range(1, terms.shape[1] + 1)], 1)

    return Ways(each, lambda terms, count: continued(solver, terms, count))


FASTER: dict[Predict, Ways] = {vote: Ways(after_each, voted)}  # of those that can go on from what they have read


def compare(samples: Samples) -> Attempts[Row]:
    """Results of each baseline under a model's metric names (test/accuracy ...).

    chance: exact expectations when each value has probability 1/256. The solvers see only a prefix. bayes: knows the
    generator; from three terms on, on the first 1,000 sequences.
    """
    rows = Attempts[Row]()
    with rows.attempt("chance"):
        rows["chance"] = tested(chance(samples))
    for name, solver in SOLVERS.items():
        with rows.attempt(name):
            rows[name] = tested(solver_results(solver, samples))
    with rows.attempt("bayes"):
        metrics = NextTermMetrics()
        some = Samples(*(values[:NUM_BAYES] for values in samples))
        metrics.update(bayes_predictions(some.terms)[0], some)
        rows["bayes"] = tested(metrics.compute())
    return rows


def tested(row: Row) -> Row:
    """A row with the prefix "test/" on every name."""
    return {f"test/{key}": result for key, result in row.items()}


def solver_results(solver: Predict, samples: Samples) -> Row:
    """Results of a solver: the next term after every prefix, the eight terms after the first eight, real sequences."""
    metrics, ways = NextTermMetrics(), FASTER.get(solver) or plain(solver)
    predictions = ways.after_each(samples.terms[:, :-1].clamp(min=0))
    metrics.update(_wrong_outside(predictions), samples)
    whole, truth = true_continuations(samples)
    matches = exact_match(ways.continued(whole.terms[:, :-1], NUM_TERMS - 1), truth, whole)
    return {**metrics.compute(), **matches, **{f"real/{key}": value for key, value in real_results(solver).items()}}


def _wrong_outside(predictions: Tensor) -> Tensor:
    """Predictions below 0 as -2 (-1 is MASKED) and above 255 as 256: wrong, just beyond the end."""
    return torch.where(predictions < 0, MASKED - 1, predictions.clamp(max=NUM_VALUES))


def chance(samples: Samples) -> Row:
    """Exact expected results on these sequences when each value is predicted with probability 1/256.

    For uniform targets the mean distance is (256^2 - 1) / (3 x 256) = 85.33. For other targets it differs.
    """
    values = torch.arange(NUM_VALUES)
    off = (values - values.unsqueeze(1)).abs().double().mean(1)  # expected distance for each target
    targets = samples.terms[:, 1:]
    row: Row = {"cross_entropy": math.log(NUM_VALUES), "accuracy_macro": 1 / NUM_VALUES}
    row["accuracy_mixture"] = 1 / NUM_VALUES
    for part, chosen in parts_of(samples, targets != MASKED):
        rows, places = chosen.nonzero(as_tuple=True)
        if len(rows):
            row[f"accuracy{part}"] = 1 / NUM_VALUES
            weights = weights_of(Samples(*(column[rows] for column in samples)))
            row[f"distance{part}"] = float(weights @ off[targets[rows, places]])
    for name in exact_match(samples.terms[:, 1:], samples.terms[:, 1:], samples):
        row[name] = NUM_VALUES ** (-8.0)
    for name in real_results(lambda terms: terms[:, -1]):
        row[f"real/{name}"] = 1 / NUM_VALUES
    return row


def true_continuations(samples: Samples) -> tuple[Samples, Tensor]:
    """The m sequences that have all nine terms, and the eight terms after their first eight, (m, 8)."""
    whole = Samples(*(values[samples.terms[:, -1] != MASKED] for values in samples))
    truth = torch.empty(len(whole.terms), NUM_TERMS - 1, dtype=torch.int64)
    for number, family in enumerate(FAMILIES):
        rows = (whole.family == number).nonzero().squeeze(1)
        more = family.continue_(family.rules[whole.rule[rows]], whole.terms[rows], NUM_TERMS - 2)
        truth[rows] = torch.cat([whole.terms[rows, -1:], more], 1)
    return whole, truth


def continued(solver: Predict, terms: Tensor, count: int) -> Tensor:
    """The next `count` terms predicted by a solver, each from all terms before it, (n, count).

    One outside 0 .. 255 is kept; the terms after it are predicted from the nearest value inside.
    """
    predicted = []
    for _ in range(count):
        predicted.append(solver(terms))
        terms = torch.cat([terms, predicted[-1].clamp(0, NUM_VALUES - 1).unsqueeze(1)], 1)
    return torch.stack(predicted, 1)


def real_results(predict: Predict) -> Row:
    """Accuracy on real sequences: the ninth term from the first eight, and (sliding) every term from the eight before.

    Each for all sequences, for those in the generator's span (`_in_span`) and for the others (`_beyond_span`).
    """
    everything = named()
    groups = {
        "": everything,
        "_in_span": [sequence for sequence in everything if sequence.in_span],
        "_beyond_span": [sequence for sequence in everything if not sequence.in_span],
    }
    results: Row = {}
    for suffix, members in groups.items():
        results[f"accuracy{suffix}"] = window_accuracy(predict, members, NUM_TERMS, first_only=True)
        results[f"sliding_accuracy{suffix}"] = window_accuracy(predict, members, NUM_TERMS)
    return results
