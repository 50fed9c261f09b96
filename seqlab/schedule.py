"""Learning-rate schedules: pure functions from a position to a multiplier of the learning rate.

The position counts optimizer steps from 0, or epochs where `unit: epoch` says so. (The published rule-extrapolation
runs warmed up over 1,000 EPOCHS without saying it.)
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from annotated_types import Ge


class Schedule(Protocol):
    """What a training module calls once a step."""

    @property
    def unit(self) -> Literal["step", "epoch"]: ...

    def __call__(self, position: int) -> float: ...


@dataclass(frozen=True, kw_only=True)
class InverseSqrt:
    """Linear warm-up to 1, then sqrt(warmup / n) at the n-th position (Vaswani et al. 2017, section 5.3).

    >>> schedule = InverseSqrt(warmup=4)
    >>> [round(schedule(position), 3) for position in (0, 1, 3, 4, 15)]
    [0.25, 0.5, 1.0, 0.894, 0.5]
    """

    warmup: Annotated[int, Ge(1)]
    unit: Literal["step", "epoch"] = "step"

    def __call__(self, position: int) -> float:
        count = position + 1
        return min(count / self.warmup, (self.warmup / count) ** 0.5)


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Linear warm-up to 1, then 1. `warmup: 0` starts at 1.

    >>> [Constant(warmup=2)(position) for position in (0, 1, 2)]
    [0.5, 1.0, 1.0]
    """

    warmup: Annotated[int, Ge(0)] = 0
    unit: Literal["step", "epoch"] = "step"

    def __call__(self, position: int) -> float:
        return min((position + 1) / self.warmup, 1.0) if self.warmup else 1.0
