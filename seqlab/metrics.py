"""Evaluation metrics that accumulate in float64 and int64 on the CPU, whatever the model's dtype and device."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torchmetrics import Metric


class Totals(Metric):
    """A metric whose states keep their dtype, float64 for sums and int64 for counts, and stay on the CPU.

    A trainer casts and moves everything that a module holds, metric states included. A sum in bfloat16 stops growing
    at 256 times the addend, and some devices (MPS) lack float64. `update` takes tensors from any device.

    Args:
        sync_on_compute: whether `compute` sums over processes. Off by default, because in SeqLab every process
            evaluates the whole set.
    """

    full_state_update = False

    def __init__(self, *, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Self:  # type: ignore[override]
        return self


class Mean(Totals):
    """A weighted mean of values. Each value may itself be a mean over `count` cases.

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
        """Add a mean over `count` cases. A NaN value makes the result NaN."""
        self.total += float(value) * int(count)
        self.count += int(count)

    def compute(self) -> Any:
        """The mean as a float; NaN without cases."""
        return float(self.total / self.count)
