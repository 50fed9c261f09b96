"""The rules of which symbolic solvers are made: each gives the next term where it fits, by exact arithmetic.

A rule maps terms (n, k) int64 in 0..255 to an `Answer`. A rule with m unknowns fits only if it also satisfies at least
one equation beyond the m that determine it. A look-up fits if the end of the row occurred before.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

# The m-th differences of values in 0..255 reach 255 * 2^(m-1) and the next term is their sum: exact up to this order.
LARGEST_ORDER = 54

Answer = tuple[Tensor, Tensor]
"""A rule's result per row: the next term (n,) int64, and whether the rule fits (n,) bool."""

Rule = Callable[[Tensor], Answer]


def no_answer(terms: Tensor) -> Answer:
    """The last term of each row, and that no rule fits."""
    return terms[:, -1], torch.zeros(len(terms), dtype=torch.bool, device=terms.device)


def constant_differences(terms: Tensor) -> Answer:
    """Newton's extrapolation: differences of the smallest order of which there are at least two, all equal."""
    following, holds = no_answer(terms)
    extrapolated = torch.zeros_like(following)
    differences = terms
    for _ in range(min(terms.shape[1] - 1, LARGEST_ORDER)):  # at least two differences are left
        extrapolated = extrapolated + differences[:, -1]
        constant = (differences == differences[:, :1]).all(1)
        following = torch.where(constant & ~holds, extrapolated, following)
        holds = holds | constant
        differences = differences.diff()
    return following, holds


def period(terms: Tensor) -> Answer:
    """The shortest period of which each term occurs at least twice."""
    following, holds = no_answer(terms)
    for length in range(1, terms.shape[1] // 2 + 1):
        repeats = (terms[:, length:] == terms[:, :-length]).all(1)
        following = torch.where(repeats & ~holds, terms[:, -length], following)
        holds = holds | repeats
    return following, holds


def of_differences(rule: Rule, terms: Tensor) -> Answer:
    """A rule for the differences: the last term plus the difference that it gives. Needs three terms."""
    if terms.shape[1] < 3:
        return no_answer(terms)
    following, holds = rule(terms.diff())
    return terms[:, -1] + following, holds


def recurrence_to_order_two(terms: Tensor) -> Answer:
    """The first of these forms that fits: x = c; x' = a x; x' = a x + c; x'' = a x' + b x; x'' = a x' + b x + c."""
    following, holds = no_answer(terms)
    for order, constant in ((0, True), (1, False), (1, True), (2, False), (2, True)):
        candidate, fits = linear_recurrence(order, constant, terms)
        following = torch.where(fits & ~holds, candidate, following)
        holds = holds | fits
    return following, holds


def linear_recurrence(order: int, constant: bool, terms: Tensor) -> Answer:
    """A linear recurrence of one order, with rational coefficients, with or without a constant.

    Cramer's rule fits it to the first equations. It is rejected if these are singular, if a later one (there must be
    one) is violated, or if its next term is not an integer.
    """
    num_unknowns = order + constant
    num_equations = terms.shape[1] - order
    if num_equations <= num_unknowns:
        return no_answer(terms)
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
    """Exact determinants of (n, m, m) int64 matrices, m = 1 to 4, by Laplace expansion: (n,)."""
    if matrix.shape[1] == 1:
        return matrix[:, 0, 0]
    total = torch.zeros_like(matrix[:, 0, 0])
    for j in range(matrix.shape[1]):
        minor = torch.cat([matrix[:, 1:, :j], matrix[:, 1:, j + 1 :]], 2)
        total = total + (-1) ** j * matrix[:, 0, j] * _determinant(minor)
    return total


def seen(count: int, terms: Tensor) -> Answer:
    """A look-up: if the last `count` terms occurred before, what followed them the last time."""
    following, holds = no_answer(terms)
    end = terms[:, terms.shape[1] - count :]
    for start in range(terms.shape[1] - count):
        same = (terms[:, start : start + count] == end).all(1)
        following = torch.where(same, terms[:, start + count], following)  # a later occurrence overrides
        holds = holds | same
    return following, holds


def equal_steps(terms: Tensor) -> Answer:
    """If the last two differences are equal, the next one is too. Needs three terms."""
    if terms.shape[1] < 3:
        return no_answer(terms)
    steps = terms[:, -3:].diff()
    return terms[:, -1] + steps[:, 1], steps[:, 0] == steps[:, 1]


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "period": period,
        "constant differences": constant_differences,
        "recurrence to order 2": recurrence_to_order_two,
        "recurrence of order 3": partial(linear_recurrence, 3, False),
        "recurrence of order 3 with constant": partial(linear_recurrence, 3, True),
        "periodic differences": partial(of_differences, period),
        "last term seen": partial(seen, 1),
        "last 2 terms seen": partial(seen, 2),
        "last 3 terms seen": partial(seen, 3),
        "last difference seen": partial(of_differences, partial(seen, 1)),
        "last 2 differences seen": partial(of_differences, partial(seen, 2)),
        "last 3 differences seen": partial(of_differences, partial(seen, 3)),
        "2 equal steps": equal_steps,
    }
)
