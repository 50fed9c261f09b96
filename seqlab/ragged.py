"""Rows of different lengths: which of their steps are real, and how to cut a batch so that few others are read."""

from collections.abc import Iterator

import torch
from torch import Tensor

# Reading one more part of a batch costs about as much as this many steps (benchmarks/padding.py).
STEPS_PER_PART = 128
NUM_PARTS = (1, 2, 4, 8, 16)


def real_steps(lengths: Tensor, num_steps: int) -> Tensor:
    """Whether step t of row b is before its end, (batch, num_steps) bool.

    >>> real_steps(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(num_steps, device=lengths.device) < lengths[:, None]


def row_starts(lengths: Tensor) -> Tensor:
    """The place of each row's first step if the real steps of all rows lie one after another, and their number.

    >>> row_starts(torch.tensor([1, 3])).tolist()
    [0, 1, 4]
    """
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0))


def parts(lengths: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Cut a batch into parts of rows of similar length: the indices of their rows, and their longest length.

    The number of parts follows from the lengths: as many as save more steps than they cost.

    >>> [(rows.tolist(), steps) for rows, steps in parts(torch.tensor([300, 2, 300, 1]))]
    [([3, 1], 2), ([0, 2], 300)]
    """
    order = lengths.argsort(stable=True)
    ordered = lengths[order]

    def cost(number: int) -> int:
        chunks = ordered.chunk(number)
        return sum(len(chunk) * int(chunk[-1]) + STEPS_PER_PART for chunk in chunks)

    for rows in order.chunk(min(NUM_PARTS, key=cost)):
        steps = int(lengths[rows[-1]])
        if steps:
            yield rows, steps
