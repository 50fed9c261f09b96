"""Symbolic solvers: predict the next term of an integer sequence by exact arithmetic, without training.

A solver maps terms (n, k) int64 in 0..255, k >= 1, to the next term of each row, (n,) int64. A prediction outside
0..255 is possible and wrong; the decision list answers the nearest value inside. All values fit in int64, so nothing is
rounded. The rules are in solver_rules.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sequences.family import NUM_VALUES
from sequences.solver_rules import RULES, Rule
from sequences.vote import vote

Solver = Callable[[Tensor], Tensor]

# learned on 20,000 validation sequences as first drawn in version 0.3; on those of today python -m
# sequences.decision_list learns a list that gains a tenth of a point
LEARNED_ORDER = (
    "last 3 terms seen",
    "last 3 differences seen",
    "recurrence of order 3 with constant",
    "last 2 differences seen",
    "last 2 terms seen",
    "constant differences",
    "recurrence to order 2",
    "last difference seen",
)


def copy_last(terms: Tensor) -> Tensor:
    """Repeats the last term.

    >>> copy_last(torch.tensor([[1, 4, 9]])).tolist()
    [9]
    """
    return terms[:, -1].clone()


def last_difference(terms: Tensor) -> Tensor:
    """Repeats the last step: 2 x_k - x_(k-1). A single term is copied.

    >>> last_difference(torch.tensor([[1, 4, 9]])).tolist()
    [14]
    """
    return terms[:, -1] + terms[:, -2:].diff().sum(1)


def difference_table(terms: Tensor) -> Tensor:
    """Newton's extrapolation: the polynomial of the smallest degree that fits all terms; the last term if none does.

    Differences of order m count as constant if there are at least two and all are equal.

    >>> difference_table(torch.tensor([[0, 1, 4, 9], [1, 2, 4, 8]])).tolist()
    [16, 8]
    """
    return first_answer(terms, [RULES["constant differences"]], copy_last)


def recurrence(terms: Tensor) -> Tensor:
    """The linear recurrence of the smallest order up to 2 that all terms satisfy; the last term if there is none.

    >>> recurrence(torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21], [0, 1, 3, 7, 15, 31, 63, 127]])).tolist()
    [34, 255]
    """
    return first_answer(terms, [RULES["recurrence to order 2"]], copy_last)


def cascade(terms: Tensor) -> Tensor:
    """The first rule that fits: a period, constant differences, a recurrence to order 2, periodic differences.

    Without one it copies the last term. The decision list is better; the runs of version 0.1 have this one beside them.

    >>> cascade(torch.tensor([[7, 1, 4, 7, 1, 4], [1, 3, 8, 10, 15, 17]])).tolist()
    [7, 22]
    """
    names = ("period", "constant differences", "recurrence to order 2", "periodic differences")
    return first_answer(terms, [RULES[name] for name in names], copy_last)


def decision_list(terms: Tensor) -> Tensor:
    """The first rule of LEARNED_ORDER that fits; the last difference if none does (decision lists: Rivest 1987).

    A term outside 0..255 becomes the nearest one inside.

    >>> decision_list(torch.tensor([[0, 0, 1, 1, 2, 4, 7, 13], [5, 9, 2, 5, 9, 2, 5, 9]])).tolist()  # tribonacci
    [24, 2]
    """
    return first_answer(terms, [RULES[name] for name in LEARNED_ORDER], last_difference).clamp(0, NUM_VALUES - 1)


SOLVERS: dict[str, Solver] = {
    "copy_last": copy_last,
    "last_difference": last_difference,
    "difference_table": difference_table,
    "recurrence": recurrence,
    "cascade": cascade,
    "decision_list": decision_list,
    "vote": vote,
}


def first_answer(terms: Tensor, rules: Sequence[Rule], otherwise: Solver) -> Tensor:
    """The next term by the first rule that fits, per row; by `otherwise` where none fits."""
    predicted = otherwise(terms)
    open_rows = torch.arange(len(terms), device=terms.device)
    for rule in rules:
        following, holds = rule(terms[open_rows])
        predicted[open_rows[holds]] = following[holds]
        open_rows = open_rows[~holds]
    return predicted
