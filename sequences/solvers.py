"""Symbolic solvers: predict the next term of an integer sequence by exact arithmetic, without training.

A solver maps terms (n, k) int64 in 0..255, k >= 1, to the next term of each row, (n,) int64. A prediction outside
0..255 is possible and wrong. A rule with m unknowns is accepted only if it also satisfies at least one equation beyond
the m that determine it. A row without such a rule gets its last term. All values fit in int64, so nothing is rounded.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# The m-th differences of values in 0..255 reach 255 * 2^(m-1) and the next term is their sum: exact up to this order.
LARGEST_ORDER = 54


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
    """Newton's extrapolation: the polynomial of the smallest degree that fits all terms.

    Differences of order m count as constant if there are at least two and all are equal.

    >>> difference_table(torch.tensor([[0, 1, 4, 9], [1, 2, 4, 8]])).tolist()
    [16, 8]
    """
    return _first_answer(terms, [_difference_table])


def recurrence(terms: Tensor) -> Tensor:
    """The linear recurrence of the smallest order up to 2, with rational coefficients, that all terms satisfy.

    The forms are tried in this order: x = c; x' = a x; x' = a x + c; x'' = a x' + b x; x'' = a x' + b x + c. Cramer's
    rule gives the unknowns from the first equations. A form is rejected if these equations are singular, if a later
    term violates it, if no later term tests it, or if its next term is not an integer.

    >>> recurrence(torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21], [0, 1, 3, 7, 15, 31, 63, 127]])).tolist()
    [34, 255]
    """
    return _first_answer(terms, [_recurrence])


def cascade(terms: Tensor) -> Tensor:
    """The first rule that fits: a period, constant differences, a linear recurrence, periodic differences.

    A period counts if each of its terms occurs at least twice.

    >>> cascade(torch.tensor([[7, 1, 4, 7, 1, 4], [1, 3, 8, 10, 15, 17]])).tolist()
    [7, 22]
    """
    return _first_answer(terms, [_period, _difference_table, _recurrence, _periodic_differences])


SOLVERS: dict[str, Callable[[Tensor], Tensor]] = {
    "copy_last": copy_last,
    "last_difference": last_difference,
    "difference_table": difference_table,
    "recurrence": recurrence,
    "cascade": cascade,
}

Answer = tuple[Tensor, Tensor]
"""A rule's result per row: the next term (n,) int64, and whether the rule fits (n,) bool."""


def _first_answer(terms: Tensor, rules: Sequence[Callable[[Tensor], Answer]]) -> Tensor:
    """The next term by the first rule that fits, per row; the last term if none fits."""
    predicted = terms[:, -1].clone()
    open_rows = torch.arange(len(terms), device=terms.device)
    for rule in rules:
        following, holds = rule(terms[open_rows])
        predicted[open_rows[holds]] = following[holds]
        open_rows = open_rows[~holds]
    return predicted


def _no_answer(terms: Tensor) -> Answer:
    return terms[:, -1], torch.zeros(len(terms), dtype=torch.bool, device=terms.device)


def _difference_table(terms: Tensor) -> Answer:
    following, holds = _no_answer(terms)
    extrapolated = torch.zeros_like(following)
    differences = terms
    for _ in range(min(terms.shape[1] - 1, LARGEST_ORDER)):  # at least two differences are left
        extrapolated = extrapolated + differences[:, -1]
        constant = (differences == differences[:, :1]).all(1)
        following = torch.where(constant & ~holds, extrapolated, following)
        holds = holds | constant
        differences = differences.diff()
    return following, holds


def _period(terms: Tensor) -> Answer:
    following, holds = _no_answer(terms)
    for period in range(1, terms.shape[1] // 2 + 1):
        repeats = (terms[:, period:] == terms[:, :-period]).all(1)
        following = torch.where(repeats & ~holds, terms[:, -period], following)
        holds = holds | repeats
    return following, holds


def _periodic_differences(terms: Tensor) -> Answer:
    if terms.shape[1] < 3:
        return _no_answer(terms)
    following, holds = _period(terms.diff())
    return terms[:, -1] + following, holds


def _recurrence(terms: Tensor) -> Answer:
    following, holds = _no_answer(terms)
    for order, constant in ((0, True), (1, False), (1, True), (2, False), (2, True)):
        candidate, fits = _fitted(terms, order, constant)
        following = torch.where(fits & ~holds, candidate, following)
        holds = holds | fits
    return following, holds


def _fitted(terms: Tensor, order: int, constant: bool) -> Answer:
    """One form of recurrence, fitted to the first equations and checked on all later ones, at least one."""
    num_unknowns = order + constant
    num_equations = terms.shape[1] - order
    if num_equations <= num_unknowns:
        return _no_answer(terms)
    # row i: the terms i .. i + order - 1 that determine the next one, and 1 for the constant
    known = [terms[:, lag : lag + num_equations + 1] for lag in range(order)]
    if constant:
        known.append(terms.new_ones(len(terms), num_equations + 1))
    rows = torch.stack(known, 2)
    targets = terms[:, order:]
    square, right = rows[:, :num_unknowns], targets[:, :num_unknowns]
    determinant = _determinant(square)
    # Cramer's rule: unknown j is the determinant with column j replaced by the right side, over the determinant
    numerators = torch.stack(
        [
            _determinant(torch.cat([square[:, :, :j], right[:, :, None], square[:, :, j + 1 :]], 2))
            for j in range(num_unknowns)
        ],
        1,
    )
    scaled = (rows * numerators[:, None, :]).sum(2)  # the right sides times the determinant
    obeyed = (scaled[:, :-1] == targets * determinant[:, None]).all(1)
    divisor = torch.where(determinant == 0, 1, determinant)
    whole = scaled[:, -1] % divisor == 0
    fits = (determinant != 0) & obeyed & whole
    return torch.div(scaled[:, -1], divisor, rounding_mode="floor"), fits


def _determinant(matrix: Tensor) -> Tensor:
    """Exact determinants of (n, m, m) int64 matrices, m = 1, 2, 3, by Laplace expansion: (n,)."""
    if matrix.shape[1] == 1:
        return matrix[:, 0, 0]
    total = torch.zeros_like(matrix[:, 0, 0])
    for j in range(matrix.shape[1]):
        minor = torch.cat([matrix[:, 1:, :j], matrix[:, 1:, j + 1 :]], 2)
        total = total + (-1) ** j * matrix[:, 0, j] * _determinant(minor)
    return total
