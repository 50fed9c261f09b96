"""Views of a sequence: seventy simple functions of its last terms, each a guess at the next term but for a residual."""

from typing import NamedTuple

import torch
from torch import Tensor

# B batch, S terms, H views

NUM_LAGS = 4  # x[t] .. x[t-3]
PAIRS = tuple((a, b, 0, 0) for a in range(-2, 4) for b in range(-2, 4))
ORDER_THREE = (
    (1, 0, 1, 0), (0, 1, 1, 0), (1, 1, 1, 0), (1, 1, -1, 0), (1, 0, -1, 0), (2, 0, -1, 0),
    (1, -1, 1, 0), (2, -2, 1, 0), (2, -1, 1, 0), (3, -3, 1, 0), (1, 1, 2, 0), (0, 2, 1, 0),
)  # fmt: skip
LAGS = ((0, 0, 1, 0), (0, 0, 0, 1))
LINEAR = PAIRS + ORDER_THREE + LAGS  # coefficients of x[t], x[t-1], x[t-2], x[t-3]
FLOORS = ((1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (3, 2), (4, 3), (5, 4), (1, 4), (1, 5), (4, 1), (5, 1))
CEILINGS = ((1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (3, 2), (4, 3), (5, 4))
NUM_VIEWS = len(LINEAR) + len(FLOORS) + len(CEILINGS)


class Views(NamedTuple):
    """The value of each view at each term, and whether the terms it takes are there: both (B, S - 3, H)."""

    values: Tensor  # int32
    known: Tensor  # bool


def views(terms_BS: Tensor) -> Views:
    """a x[t] + b x[t-1] with a, b = -2 .. 3, forms of order three, floors and ceilings of p/q x[t], and lags.

    Args:
        terms_BS: (B, S) integers from 0 on; a negative one stands for a term before the first and counts as 0.

    Returns:
        Values and known: the first place is that of term 3.
    """
    windows = terms_BS.int().unfold(1, NUM_LAGS, 1).flip(2)
    there, windows = windows >= 0, windows.clamp(min=0)
    coefficients = torch.tensor(LINEAR, dtype=torch.int32, device=terms_BS.device)
    linear = torch.stack([windows[..., lag, None] * coefficients[:, lag] for lag in range(NUM_LAGS)]).sum(0).int()
    known = ~(~there.unsqueeze(2) & (coefficients != 0)).any(3) & there[..., :1]
    ratios = torch.tensor(FLOORS + CEILINGS, dtype=torch.int32, device=terms_BS.device)
    up = torch.arange(len(ratios), device=terms_BS.device) >= len(FLOORS)
    products = windows[..., :1] * ratios[:, 0] + torch.where(up, ratios[:, 1] - 1, 0)
    rounded = products.div(ratios[:, 1], rounding_mode="floor").int()
    return Views(torch.cat([linear, rounded], 2), torch.cat([known, there[..., :1].expand_as(rounded)], 2))


def name(view: int, terms: list[int]) -> str:
    """A view of terms, newest last, in numbers.

    >>> name(PAIRS.index((2, -1, 0, 0)), [3, 5, 9]), name(len(LINEAR), [3, 5, 9]), name(len(PAIRS) - 1, [5])
    ('2 x 9 - 5', 'floor(1/2 x 9)', '3 x 5')
    """
    if view >= len(LINEAR):
        p, q = (FLOORS + CEILINGS)[view - len(LINEAR)]
        return f"{'floor' if view - len(LINEAR) < len(FLOORS) else 'ceiling'}({p}/{q} x {terms[-1]})"
    text = ""
    for lag, factor in enumerate(LINEAR[view][: len(terms)]):
        if factor:
            number = f"{terms[-1 - lag]}" if abs(factor) == 1 else f"{abs(factor)} x {terms[-1 - lag]}"
            sign = "-" if factor < 0 else "+"
            text = f"{text} {sign} {number}" if text else number if sign == "+" else f"-{number}"
    return text or "0"
