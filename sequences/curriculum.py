"""Training sequences: the curriculum chooses a sample's family; what is held out is drawn again."""

from collections.abc import Callable
from functools import cache, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.randomness import uniforms_of
from sequences.families import FAMILIES, FINAL_MIX, PHASES
from sequences.family import MASKED, NUM_TERMS, NUM_VALUES, Family
from sequences.held_out import code_of, may_train, rules_of

LARGEST_TABLE = 2**20  # bytes; larger tables take seconds to fill
MAX_ATTEMPTS = 2**17  # never reached: the strictest family keeps one draw in a few hundred


class Samples(NamedTuple):
    """Sequences.

    terms: (n, 9) int64, MASKED where a sequence has ended.
    family: (n,) index into FAMILIES.
    rule: (n,) index into the family's rules.
    frequency: (n,) float64, how often the draws of a family take this rule and keep the sequence, relative to its
        other rules.
    """

    terms: Tensor
    family: Tensor
    rule: Tensor
    frequency: Tensor


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


def draw(seed: int, start: int, count: int, proportions: Callable[[Tensor], Tensor], fold: int = 0) -> Samples:
    """Training samples start .. start + count - 1. Sample i is a function of (seed, fold, i).

    Args:
        seed: seed of the stream.
        start, count: the range of samples.
        proportions: indices (n,) -> proportions of the phases (n, 3) for these samples.
        fold: which tenth of the rules and sequences is the test (sequences/held_out.py).
    """
    indices = torch.arange(start, start + count)
    numbers = uniforms_of(seed, "train family", indices, 2)
    phase = (numbers[:, :1] >= proportions(indices)[:, :2].cumsum(1)).sum(1)
    members = [[i for i, family in enumerate(FAMILIES) if family.phase == number] for number in PHASES]
    sizes = torch.tensor([len(group) for group in members])
    first = torch.tensor([group[0] for group in members])
    chosen = first[phase] + (numbers[:, 1] * sizes[phase]).long()
    terms, rule = torch.full((count, NUM_TERMS), MASKED), torch.zeros(count, dtype=torch.int64)
    for number in chosen.unique().tolist():
        rows = (chosen == number).nonzero().squeeze(1)
        terms[rows], rule[rows] = draw_from(FAMILIES[number], seed, indices[rows], fold)
    return Samples(terms, chosen, rule, torch.ones(count, dtype=torch.float64))


def draw_from(family: Family, seed: int, indices: Tensor, fold: int = 0) -> tuple[Tensor, Tensor]:
    """Training sequences of one family (n, 9) and the indices of their rules (n,), one for each sample index.

    A draw is a rule and initial terms. Both are resampled while a term is outside 0 .. 255, the sequence is degenerate,
    or held out. Several draws are tried in parallel and the first valid one is used.
    """
    own = rules_of(family, "train", fold)
    rules = torch.empty(len(indices), dtype=torch.int64)
    initial = torch.empty(family.order, len(indices), dtype=torch.int64)
    missing = torch.arange(len(indices))
    attempt, stream = 0, f"train {family.name}"
    while len(missing):
        assert attempt < MAX_ATTEMPTS, f"{family.name} has no sequences for training in fold {fold}"
        tries = max(1, min(256, 4096 // len(missing)))
        counters = indices[missing].unsqueeze(1) * MAX_ATTEMPTS + torch.arange(attempt, attempt + tries)
        numbers = uniforms_of(seed, stream, counters.flatten(), family.order + 2)
        rule = own[(numbers[:, 0] * len(own)).long()]
        first = family.initial(family.rules[rule], numbers[:, 1:])
        fits = trains(family, rule, first, fold).view(len(missing), tries)
        found = fits.any(1)
        row = found.nonzero().squeeze(1)
        place = row * tries + fits[row].long().argmax(1) if tries > 1 else row
        rules[missing[row]] = rule[place]
        initial[:, missing[row]] = first.T[:, place]
        missing = missing[~found]
        attempt += tries
    return family.sequences(family.rules[rules], initial.T)[0], rules


def trains(family: Family, rule: Tensor, initial: Tensor, fold: int = 0) -> Tensor:
    """Whether the sequences of rules (n,) and initial terms (n, order) are kept, and not held out: (n,) bool."""
    table = training_table(family, fold)
    if table is None:
        return computed(family, rule, initial, fold)
    return table[reduce(lambda place, term: place * NUM_VALUES + term, initial.unbind(1), rule)]


@cache
def training_table(family: Family, fold: int = 0) -> Tensor | None:
    """A lookup table of `computed` for all rules and initial terms, or None if it would be too large."""
    size = len(family.rules) * NUM_VALUES**family.order
    if size > LARGEST_TABLE:
        return None
    table = torch.empty(size, dtype=torch.bool)
    for places in torch.arange(size).split(2**14):
        initial = [places // NUM_VALUES**power % NUM_VALUES for power in reversed(range(family.order))]
        rule = places // NUM_VALUES**family.order
        table[places] = computed(family, rule, torch.stack(initial, 1), fold)
    return table


def computed(family: Family, rule: Tensor, initial: Tensor, fold: int = 0) -> Tensor:
    """Like `trains`, but without a table: it makes the sequences."""
    terms, kept = family.sequences(family.rules[rule], initial)
    kept[kept.clone()] = may_train(code_of(terms[kept]), fold)
    return kept
