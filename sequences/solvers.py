"""Symbolic solvers: the next term of an integer sequence by exact arithmetic, without having learnt anything.

Every solver is a function of terms (n, k) int64 in 0..255, k >= 1, and returns (n,) int64: the next term of each row. A
prediction may lie outside 0..255, which is simply wrong. A rule with m unknowns is believed only where it holds on at
least one equation more than the m that determine it; a row without such a rule gets its last term again. All values
stay far inside int64, so nothing is rounded.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# The m-th differences of values in 0..255 reach 255 * 2^(m-1), and the next term their sum: exact up to this order.
LARGEST_ORDER = 54


def copy_last(terms: Tensor) -> Tensor:
    """The last term again.

    >>> copy_last(torch.tensor([[1, 4, 9]])).tolist()
    [9]
    """
    return terms[:, -1].clone()


def last_difference(terms: Tensor) -> Tensor:
    """2 x_k - x_(k-1): the last step again. A single term is copied.

    >>> last_difference(torch.tensor([[1, 4, 9]])).tolist()
    [14]
    """
    return terms[:, -1] + terms[:, -2:].diff().sum(1)


def difference_table(terms: Tensor) -> Tensor:
    """Newton's extrapolation: the polynomial of the smallest degree whose differences are constant.

    Differences of order m count as constant where there are at least two of them, all equal.

    >>> difference_table(torch.tensor([[0, 1, 4, 9], [1, 2, 4, 8]])).tolist()
    [16, 8]
    """
    return _first_answer(terms, [_difference_table])


def recurrence(terms: Tensor) -> Tensor:
    """The linear recurrence of the smallest order up to 2, over the rationals, that all terms obey.

    Tried in turn, each with its unknowns from the first equations by Cramer's rule: x = c; x' = a x; x' = a x + c;
    x'' = a x' + b x; x'' = a x' + b x + c. One whose first equations determine nothing, that some later term does not
    obey, that has no later term to obey it, or whose next term is no integer, gives way to the next.

    >>> recurrence(torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21], [0, 1, 3, 7, 15, 31, 63, 127]])).tolist()
    [34, 255]
    """
    return _first_answer(terms, [_recurrence])


def cascade(terms: Tensor) -> Tensor:
    """The first that holds of: a period, constant differences, a linear recurrence, periodic differences.

    A period counts where each of its terms is seen twice.

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
"""What a rule says of each row: the next term (n,) int64, and whether the rule holds (n,) bool."""


def _first_answer(terms: Tensor, rules: Sequence[Callable[[Tensor], Answer]]) -> Tensor:
    """The next term by the first rule that holds, row by row; the last term where none does."""
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
    """One form of recurrence, fitted to the first equations and checked on all that follow, at least one."""
    num_unknowns = order + constant
    num_equations = terms.shape[1] - order
    if num_equations <= num_unknowns:
        return _no_answer(terms)
    # row i: the terms i .. i + order - 1 that the next one is made of, and 1 for the constant
    known = [terms[:, lag : lag + num_equations + 1] for lag in range(order)]
    if constant:
        known.append(terms.new_ones(len(terms), num_equations + 1))
    rows = torch.stack(known, 2)
    targets = terms[:, order:]
    square, right = rows[:, :num_unknowns], targets[:, :num_unknowns]
    determinant = _determinant(square)
    # Cramer: unknown j is the determinant with column j replaced by the right side, over the determinant
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
    """Exact determinants of (n, m, m) int64, m = 1, 2, 3, by expansion: (n,)."""
    if matrix.shape[1] == 1:
        return matrix[:, 0, 0]
    total = torch.zeros_like(matrix[:, 0, 0])
    for j in range(matrix.shape[1]):
        minor = torch.cat([matrix[:, 1:, :j], matrix[:, 1:, j + 1 :]], 2)
        total = total + (-1) ** j * matrix[:, 0, j] * _determinant(minor)
    return total
