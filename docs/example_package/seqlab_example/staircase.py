"""A schedule: the learning rate is halved every so many steps."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from seqlab.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Staircase(Schedule):
    """1, then 1/2, then 1/4 ... each for `stair` positions."""

    stair: Annotated[int, Ge(1)]

    def __call__(self, position: int) -> float:
        return 0.5 ** (position // self.stair)
