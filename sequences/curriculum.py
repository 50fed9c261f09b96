"""Sequences of all families: which a sample belongs to (the curriculum), and its draw, held apart by split."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seqlab.randomness import uniforms_of
from sequences.family import MASKED, NUM_TERMS, Family, bucket_of
from sequences.phase_one import Arithmetic, Constant, LinearOrderTwo, PeriodTwo
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
    Constant(), Arithmetic(), PeriodTwo(), LinearOrderTwo(),
    AlternatingSteps(), GrowingSteps(), Ratio(), AlternatingFactors(), Runs(), TrueGrowth(),
    LinearModulo(), DoubledTerms(), AlternatingSigns(), ParityCondition(), ThresholdCondition(), Composition(),
    Switch(),
)  # fmt: skip
PHASES = (1, 2, 3)
FINAL_MIX = (0.2, 0.3, 0.5)
Split = Literal["train", "val", "test"]
MAX_ATTEMPTS = 2**17  # the rarest family keeps a draw in some hundreds: this is never reached


class Samples(NamedTuple):
    """Drawn sequences.

    terms: (n, 9) int64, MASKED where a sequence has ended.
    family: (n,) index into FAMILIES.
    rule: (n,) index into the family's rules.
    """

    terms: Tensor
    family: Tensor
    rule: Tensor


def mixture(progress: Tensor) -> Tensor:
    """Shares of the three phases (n, 3) at a progress (n,) from 0 to 1 through training.

    Phase 1 alone up to 0.20; to 0.45 linearly to (0.4, 0.6, 0); to 0.80 linearly to (0.2, 0.3, 0.5); then constant.

    >>> mixture(torch.tensor([0.1, 0.325, 0.9], dtype=torch.float64)).tolist()
    [[1.0, 0.0, 0.0], [0.7, 0.3, 0.0], [0.2, 0.3, 0.5]]
    """
    points = torch.tensor([[1.0, 0.0, 0.0], [0.4, 0.6, 0.0], FINAL_MIX], dtype=torch.float64)
    first = ((progress.double() - 0.20) / 0.25).clamp(0, 1).unsqueeze(1)
    second = ((progress.double() - 0.45) / 0.35).clamp(0, 1).unsqueeze(1)
    return (points[0] + first * (points[1] - points[0]) + second * (points[2] - points[1])).round(decimals=12)


def draw(seed: int, split: Split, start: int, count: int, shares: Callable[[Tensor], Tensor]) -> Samples:
    """Samples start .. start + count - 1 of a split: sample i is a function of (seed, split, i).

    Args:
        seed, split: name the stream. A rule of a split is used in no other, nor is a sequence (see `belongs`).
        start, count: which samples.
        shares: indices (n,) -> shares of the phases (n, 3) for these samples.
    """
    indices = torch.arange(start, start + count)
    numbers = uniforms_of(seed, f"{split} family", indices, 2)
    phase = (numbers[:, :1] >= shares(indices)[:, :2].cumsum(1)).sum(1)
    members = [[i for i, family in enumerate(FAMILIES) if family.phase == number] for number in PHASES]
    sizes = torch.tensor([len(group) for group in members])
    first = torch.tensor([group[0] for group in members])
    family_index = first[phase] + (numbers[:, 1] * sizes[phase]).long()
    samples = Samples(torch.full((count, NUM_TERMS), MASKED), family_index, torch.zeros(count, dtype=torch.int64))
    for number in family_index.unique().tolist():
        rows = (family_index == number).nonzero().squeeze(1)
        samples.terms[rows], samples.rule[rows] = draw_from(FAMILIES[number], seed, split, indices[rows])
    return samples


def draw_from(family: Family, seed: int, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences of one family (n, 9) and the indices of their rules (n,), one for each sample index.

    A draw takes a rule of the split and initial terms; it is drawn anew while a term leaves 0 .. 255, the sequence
    is degenerate, or it belongs to another split. Several draws are tried at once, and the first that fits is taken.
    """
    own = (split_of_bucket(family.buckets) == SPLITS.index(split)).nonzero().squeeze(1)
    if not family.holds_out_rules:
        own = torch.arange(len(family.rules))
    columns = torch.empty(NUM_TERMS, len(indices), dtype=torch.int64)
    rules = torch.empty(len(indices), dtype=torch.int64)
    missing = torch.arange(len(indices))
    attempt, stream = 0, f"{split} {family.name}"
    while len(missing):
        assert attempt < MAX_ATTEMPTS, f"{family.name} has no sequences for {split}"
        tries = max(1, min(256, 4096 // len(missing)))
        counters = indices[missing].unsqueeze(1) * MAX_ATTEMPTS + torch.arange(attempt, attempt + tries)
        numbers = uniforms_of(seed, stream, counters.flatten(), family.order + 2)
        rule = own[(numbers[:, 0] * len(own)).long()]
        parameters = family.rules.T.index_select(1, rule).T
        sequence, kept = family.sequences(parameters, family.initial(parameters, numbers[:, 1:]))
        kept &= split_of_bucket(bucket_of(sequence + 1)) == SPLITS.index(split)
        kept = kept.view(len(missing), tries)
        found = kept.any(1)
        row = found.nonzero().squeeze(1)
        place = row * tries + kept[row].long().argmax(1) if tries > 1 else row
        columns.index_copy_(1, missing[row], sequence.T.index_select(1, place))
        rules[missing[row]] = rule[place]
        missing = missing[~found]
        attempt += tries
    return columns.T, rules


SPLITS: tuple[Split, ...] = ("train", "val", "test")


def split_of_bucket(buckets: Tensor) -> Tensor:
    """0 is test, 1 validation, the rest training: the index into SPLITS for each bucket 0 .. 9."""
    return torch.where(buckets == 0, 2, torch.where(buckets == 1, 1, 0))
