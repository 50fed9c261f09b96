"""Learning-rate schedules: pure functions from a position to a multiplier of the learning rate.

The position counts optimizer steps from 0, or epochs with `unit: epoch`. (The published rule-extrapolation runs
warmed up over 1,000 EPOCHS without stating it.)
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from annotated_types import Ge, Interval


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """A learning-rate schedule, which the training module calls once per step.

    Args:
        unit: unit of the position.
    """

    unit: Literal["step", "epoch"] = "step"

    @abstractmethod
    def __call__(self, position: int) -> float:
        """The multiplier of the learning rate at a position."""

    def in_run(self, steps_per_epoch: int) -> Self:
        """The schedule for data of which an epoch has this many optimizer steps."""
        return self


@dataclass(frozen=True, kw_only=True)
class InverseSqrt(Schedule):
    """Linear warm-up to 1, then sqrt(warmup / n) at the n-th position (Vaswani et al. 2017, section 5.3).

    >>> schedule = InverseSqrt(warmup=4)
    >>> [round(schedule(position), 3) for position in (0, 1, 3, 4, 15)]
    [0.25, 0.5, 1.0, 0.894, 0.5]
    """

    warmup: Annotated[int, Ge(1)]

    def __call__(self, position: int) -> float:
        count = position + 1
        return min(count / self.warmup, (self.warmup / count) ** 0.5)


@dataclass(frozen=True, kw_only=True)
class ConstantRate(Schedule):
    """Linear warm-up to 1, then 1. `warmup: 0` starts at 1.

    >>> [ConstantRate(warmup=2)(position) for position in (0, 1, 2)]
    [0.5, 1.0, 1.0]
    """

    warmup: Annotated[int, Ge(0)] = 0

    def __call__(self, position: int) -> float:
        return min((position + 1) / self.warmup, 1.0) if self.warmup else 1.0


@dataclass(frozen=True, kw_only=True)
class Ending(Schedule):
    """Base class of schedules that reach their end at a position.

    Args:
        total: the position of the end, in the schedule's unit; None: the end of the run.
        run_steps: optimizer steps of the run when it began.

    Raises:
        ValueError: both are None.
    """

    total: Annotated[int, Ge(1)] | None = None
    run_steps: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        if self.total is None and self.run_steps is None:
            raise ValueError("schedule.total=null needs schedule.run_steps, the length of the run")

    @property
    def end(self) -> int:
        """The position of the end; with total=None and unit=epoch only `in_run` knows it in epochs."""
        end = self.total or self.run_steps
        assert end is not None
        return end

    def in_run(self, steps_per_epoch: int) -> Self:
        if self.total is not None or self.unit == "step":
            return self
        return replace(self, total=-(-self.end // steps_per_epoch))


@dataclass(frozen=True, kw_only=True)
class WarmupCosine(Ending):
    """Linear warm-up to 1, then half a cosine down to `floor` at the end, then constant at `floor`.

    (Loshchilov & Hutter 2017, equation 5, one period.) A run shorter than the warm-up stays in it.

    >>> schedule = WarmupCosine(warmup=2, total=10, floor=0.1)
    >>> [round(schedule(position), 3) for position in (0, 1, 2, 6, 10, 99)]
    [0.5, 1.0, 1.0, 0.55, 0.1, 0.1]
    """

    warmup: Annotated[int, Ge(0)]
    floor: Annotated[float, Interval(ge=0, le=1)] = 1e-3

    def __call__(self, position: int) -> float:
        if position < self.warmup:
            return (position + 1) / self.warmup
        if position >= self.end:
            return self.floor
        progress = (position - self.warmup) / (self.end - self.warmup)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True, kw_only=True)
class WarmRestarts(Ending):
    """Linear warm-up to 1, then `cycles` cosines from 1 to `floor`, each `factor` times as long as the previous one.

    (Loshchilov & Hutter 2017, SGDR.) After the last cycle, which ends at the end, the multiplier is `floor`.

    >>> schedule = WarmRestarts(total=14, cycles=3, factor=2.0, floor=0.0)  # cycles of 2, 4 and 8 positions
    >>> [round(schedule(position), 3) for position in (0, 1, 2, 4, 6, 10, 14)]
    [1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.0]
    """

    cycles: Annotated[int, Ge(1)] = 3
    factor: Annotated[float, Ge(1)] = 2.0
    warmup: Annotated[int, Ge(0)] = 0
    floor: Annotated[float, Interval(ge=0, le=1)] = 1e-3

    def __call__(self, position: int) -> float:
        if position < self.warmup:
            return (position + 1) / self.warmup
        lengths = [self.factor**cycle for cycle in range(self.cycles)]
        place = (position - self.warmup) / max(1, self.end - self.warmup) * sum(lengths)
        for length in lengths:
            if place < length:
                return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * place / length))
            place -= length
        return self.floor
