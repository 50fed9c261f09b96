"""Sampling from all families: the curriculum chooses a sample's family, and rules and sequences are split."""

from collections.abc import Callable
from functools import cache, reduce
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seqlab.randomness import uniforms_of
from sequences.family import MASKED, NUM_TERMS, NUM_VALUES, Family, bucket_of
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
Split = Literal["train", "val", "test"]
LARGEST_TABLE = 2**20  # bytes; larger tables take seconds to fill
MAX_ATTEMPTS = 2**17  # never reached: the strictest family keeps one draw in a few hundred
PATIENCE = 2**10  # initial terms tried with one held-out rule before another rule is drawn


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
    """The proportions of the three phases (n, 3) at a training progress (n,) from 0 to 1.

    Phase 1 alone up to 0.20, then linearly to (0.4, 0.6, 0) at 0.45 and to (0.2, 0.3, 0.5) at 0.80, then constant.

    >>> mixture(torch.tensor([0.1, 0.325, 0.9], dtype=torch.float64)).tolist()
    [[1.0, 0.0, 0.0], [0.7, 0.3, 0.0], [0.2, 0.3, 0.5]]
    """
    points = torch.tensor([[1.0, 0.0, 0.0], [0.4, 0.6, 0.0], FINAL_MIX], dtype=torch.float64)
    first = ((progress.double() - 0.20) / 0.25).clamp(0, 1).unsqueeze(1)
    second = ((progress.double() - 0.45) / 0.35).clamp(0, 1).unsqueeze(1)
    return (points[0] + first * (points[1] - points[0]) + second * (points[2] - points[1])).round(decimals=12)


def draw(seed: int, split: Split, start: int, count: int, proportions: Callable[[Tensor], Tensor]) -> Samples:
    """Samples start .. start + count - 1 of a split. Sample i is a function of (seed, split, i).

    Args:
        seed, split: identify the stream. No sequence is in two splits, and no rule of a family that holds out rules.
        start, count: the range of samples.
        proportions: indices (n,) -> proportions of the phases (n, 3) for these samples.
    """
    indices = torch.arange(start, start + count)
    numbers = uniforms_of(seed, f"{split} family", indices, 2)
    phase = (numbers[:, :1] >= proportions(indices)[:, :2].cumsum(1)).sum(1)
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

    A draw is a rule of the split and initial terms. It is resampled while a term is outside 0 .. 255, the sequence is
    degenerate, or it belongs to another split. Several draws are tried in parallel and the first valid one is used.

    In training rule and initial terms are resampled together, so a rule that keeps most of its draws is frequent. In
    validation and test the rule stays and its initial terms alone are resampled, so every rule of a family that has
    sequences in the split is equally likely. (After PATIENCE draws in vain another rule is drawn.)
    """
    wanted = SPLITS.index(split)
    own = torch.arange(len(family.rules))
    if family.holds_out_rules:
        own = own[split_of_bucket(family.buckets) == wanted]
    rules = torch.empty(len(indices), dtype=torch.int64)
    initial = torch.empty(family.order, len(indices), dtype=torch.int64)
    missing = torch.arange(len(indices))
    attempt, stream = 0, f"{split} {family.name}"
    rule_every = 1 if split == "train" else PATIENCE
    while len(missing):
        assert attempt < MAX_ATTEMPTS, f"{family.name} has no sequences for {split}"
        tries = max(1, min(256, 4096 // len(missing)))
        counters = indices[missing].unsqueeze(1) * MAX_ATTEMPTS + torch.arange(attempt, attempt + tries)
        numbers = uniforms_of(seed, stream, counters.flatten(), family.order + 2)
        choice = numbers[:, 0]
        if rule_every > 1:
            first_tries = counters.flatten() // rule_every * rule_every
            choice = uniforms_of(seed, stream, first_tries, family.order + 2)[:, 0]
        rule = own[(choice * len(own)).long()]
        first = family.initial(family.rules[rule], numbers[:, 1:])
        fits = (split_of(family, rule, first) == wanted).view(len(missing), tries)
        found = fits.any(1)
        row = found.nonzero().squeeze(1)
        place = row * tries + fits[row].long().argmax(1) if tries > 1 else row
        rules[missing[row]] = rule[place]
        initial[:, missing[row]] = first.T[:, place]
        missing = missing[~found]
        attempt += tries
    return family.sequences(family.rules[rules], initial.T)[0], rules


def split_of(family: Family, rule: Tensor, initial: Tensor) -> Tensor:
    """The split, as an index into SPLITS, of the sequences of rules (n,) and initial terms (n, order); -1: not kept."""
    table = split_table(family)
    if table is None:
        return computed_split(family, rule, initial)
    return table[reduce(lambda place, term: place * NUM_VALUES + term, initial.unbind(1), rule)]


@cache
def split_table(family: Family) -> Tensor | None:
    """A lookup table of `computed_split` for all rules and initial terms, or None if it would be too large."""
    size = len(family.rules) * NUM_VALUES**family.order
    if size > LARGEST_TABLE:
        return None
    table = torch.empty(size, dtype=torch.int8)
    for places in torch.arange(size).split(2**14):
        initial = [places // NUM_VALUES**power % NUM_VALUES for power in reversed(range(family.order))]
        rule = places // NUM_VALUES**family.order
        table[places] = computed_split(family, rule, torch.stack(initial, 1)).to(torch.int8)
    return table


def computed_split(family: Family, rule: Tensor, initial: Tensor) -> Tensor:
    """Like `split_of`, but without a table: it computes the sequences."""
    terms, kept = family.sequences(family.rules[rule], initial)
    return torch.where(kept, split_of_bucket(bucket_of(terms + 1)), -1)


SPLITS: tuple[Split, ...] = ("train", "val", "test")


def split_of_bucket(buckets: Tensor) -> Tensor:
    """The split, as an index into SPLITS, of each bucket 0 .. 9: 0 is test, 1 validation, the others training."""
    return torch.where(buckets == 0, 2, torch.where(buckets == 1, 1, 0))
