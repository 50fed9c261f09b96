"""Sums of an evaluation: float64 sums and integer counts on the CPU, whatever the model computes in and wherever."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torchmetrics import Metric


class Totals(Metric):
    """A metric whose states are float64 sums and int64 counts, and stay so.

    A trainer casts and moves all that a module holds, sums included: to bfloat16, whose sums stop growing at 256 times
    what is added, or to a device without float64 (MPS). These states remain on the CPU, in their own type; `update`
    takes tensors from any device.

    Args:
        sync_on_compute: whether `compute` adds up over processes. Not in our own runs, in which every process evaluates
            the whole set.
    """

    full_state_update = False

    def __init__(self, *, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Self:  # type: ignore[override]
        return self


class Mean(Totals):
    """The mean of values, each of which may itself be a mean, over `count` cases.

    >>> mean = Mean()
    >>> mean.update(1.0)
    >>> mean.update(torch.tensor(4.0), 2)
    >>> mean.compute()
    3.0
    """

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, value: Tensor | float, count: Tensor | int = 1) -> None:
        """Add a mean over `count` cases; a value that is NaN makes the result NaN."""
        self.total += float(value) * int(count)
        self.count += int(count)

    def compute(self) -> Any:
        """The mean as a float; NaN of no cases."""
        return float(self.total / self.count)
