"""All families of rules, in three phases, and how a sample chooses one."""

import torch
from torch import Tensor

from sequences.family import Family
from sequences.phase_one import Arithmetic, ConstantTerms, LinearOrderTwo, PeriodTwo
from sequences.phase_three import (
    AlternatingSigns,
    Composition,
    DoubledTerms,
    LinearModulo,
    ParityCondition,
    Switch,
    ThresholdCondition,
)
from sequences.phase_two import AlternatingFactors, AlternatingSteps, GrowingSteps, Ratio, Runs, TrueGrowth

FAMILIES: tuple[Family, ...] = (
    ConstantTerms(), Arithmetic(), PeriodTwo(), LinearOrderTwo(),
    AlternatingSteps(), GrowingSteps(), Ratio(), AlternatingFactors(), Runs(), TrueGrowth(),
    LinearModulo(), DoubledTerms(), AlternatingSigns(), ParityCondition(), ThresholdCondition(), Composition(),
    Switch(),
)  # fmt: skip
PHASES = (1, 2, 3)
FINAL_MIX = (0.2, 0.3, 0.5)
PHASE_OF = torch.tensor([family.phase for family in FAMILIES])


def family_shares() -> Tensor:
    """The proportion of each family in the final mixture, (F,) float64: that of its phase, in equal parts.

    >>> round(float(family_shares().sum()), 6), round(float(family_shares()[0]), 6)
    (1.0, 0.05)
    """
    sizes = PHASE_OF.bincount()
    return torch.tensor([FINAL_MIX[phase - 1] / int(sizes[phase]) for phase in PHASE_OF.tolist()], dtype=torch.float64)
