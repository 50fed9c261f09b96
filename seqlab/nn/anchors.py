"""Anchors, simple guesses at the next term of a sequence; what was to be added to them earlier; candidates of both."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqlab.nn.numbers import combinations

# B batch, T time, S terms with those before the first step, A anchors, J residuals looked back at

ANCHORS = (  # coefficients of x[t], x[t-1], x[t-2], x[t-3]
    (1, 0, 0, 0),
    (0, 1, 0, 0),
    (2, -1, 0, 0),
    (2, 0, 0, 0),
    (-1, 0, 0, 0),
    (0, 0, 1, 0),
    (1, 1, 0, 0),
    (0, 0, 0, 1),
)
NUM_LAGS = len(ANCHORS[0])


class Candidates(NamedTuple):
    """Candidates for the next term, (B, T, A, 1 + J): an anchor, and an anchor plus each of its last J residuals."""

    values: Tensor  # int64
    known: Tensor  # bool: whether all terms that a candidate takes are there


def anchors(terms_BS: Tensor) -> tuple[Tensor, Tensor]:
    """The value of each anchor at each place from term 3 on, and whether its terms are there: both (B, S - 3, A)."""
    return combinations(terms_BS, torch.tensor(ANCHORS, device=terms_BS.device))


def candidates(terms_BS: Tensor, look_back: int) -> Candidates:
    """Candidates for the term after each of the last S - look_back - 3 terms.

    With A[t] an anchor at step t, its residual when x[t] is read is R[t] = x[t] - A[t-1], what was to be added to it.
    Candidate 0 is A[t]; candidate j is A[t] + R[t+1-j], j = 1 .. look_back. A rule that adds the same to an anchor
    again, after one step or after j, has its next term among them.

    Args:
        terms_BS: (B, look_back + 3 + T) integers, MISSING before the first.
        look_back: number of residuals, J.
    """
    values, known = anchors(terms_BS)
    residuals = terms_BS[:, NUM_LAGS:, None] - values[:, :-1]
    # newest first; the first place is that of the first new term
    added = residuals.unfold(1, look_back, 1).flip(3)
    was_known = known[:, :-1].unfold(1, look_back, 1).flip(3)
    now, now_known = values[:, look_back:, :, None], known[:, look_back:, :, None]
    return Candidates(torch.cat([now, now + added], 3), now_known & pad(was_known, (1, 0), value=True))


def as_sum(terms: list[int], coefficients: tuple[int, ...]) -> str:
    """An anchor of terms, newest last, in numbers.

    >>> as_sum([8, 13, 21], (1, 1, 0, 0)), as_sum([8, 13, 21], (2, -1, 0, 0)), as_sum([8, 13, 21], (-1, 0, 0, 0))
    ('21 + 13', '2 x 21 - 13', '-21')
    """
    text = ""
    for lag, coefficient in enumerate(coefficients):
        if coefficient:
            number = f"{terms[-1 - lag]}" if abs(coefficient) == 1 else f"{abs(coefficient)} x {terms[-1 - lag]}"
            sign = "-" if coefficient < 0 else "+"
            text = f"{text} {sign} {number}" if text else number if sign == "+" else f"-{number}"
    return text


def explained(terms: list[int], anchor: int, back: int) -> str:
    """How a candidate comes from terms, newest last: an anchor, and what was to be added to it `back` terms ago.

    >>> explained([1, 2, 4, 7], 0, 1), explained([1, 2, 4, 7], 2, 1), explained([5, 3, 5], 1, 0)
    ('7 + (7 - 4)', '(2 x 7 - 4) + (7 - (2 x 4 - 2))', '3')
    """
    now, coefficients = as_sum(terms, ANCHORS[anchor]), ANCHORS[anchor]
    if back == 0:
        return now
    read = terms[: len(terms) - back + 1]
    before = as_sum(read[:-1], coefficients)
    now, before = (f"({text})" if " " in text or text.startswith("-") else text for text in (now, before))
    return f"{now} + ({read[-1]} - {before})"
