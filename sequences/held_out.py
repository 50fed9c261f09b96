"""What training never sees: sequences that a held-out rule makes, a tenth of all others, and real sequences.

Rules are held out by what they make. Different rules make the same sequences (x + 3 is also 2 x_{t-1} - x_{t-2}), so a
hash of rules alone would leave a held-out rule's sequences in training, under another rule's name.
"""

from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from seqlab.randomness import row_hash
from sequences.families import FAMILIES
from sequences.family import NUM_TERMS, NUM_VALUES, Family
from sequences.named import named, windows

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
NUM_FOLDS = 10
ROWS_AT_ONCE = 2**17  # sequences begun together, so that they fit into the CPU's caches, about
PAIRS_AT_ONCE = 2**21  # of a sequence and a rule


class Kept(NamedTuple):
    """Sequences that rules of a family keep.

    rule: (n,) index into the family's rules.
    initial: (n, order).
    code: (n,) hash of the nine terms (`code_of`).
    """

    rule: Tensor
    initial: Tensor
    code: Tensor


def split_of_bucket(buckets: Tensor, fold: int = 0) -> Tensor:
    """The split, as an index into SPLITS, of each bucket 0 .. 9: `fold` is test, the next one validation.

    >>> split_of_bucket(torch.arange(10), fold=9).tolist()
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    """
    shifted = (buckets - fold) % NUM_FOLDS
    return torch.where(shifted == 0, 2, torch.where(shifted == 1, 1, 0))


def rules_of(family: Family, split: Split, fold: int = 0) -> Tensor:
    """The indices of a family's rules that belong to a split; all of them for a family that holds out no rules."""
    if not family.holds_out_rules:
        return torch.arange(len(family.rules))
    of_rules = split_of_bucket(family.buckets, fold)
    of_rules[family.makes_a_family(family.rules)] = 0
    return (of_rules == SPLITS.index(split)).nonzero().squeeze(1)


def code_of(terms: Tensor) -> Tensor:
    """A hash of each sequence (n, 9), which MASKED terms at its end do not change: (n,) int64."""
    return row_hash(terms + 1)


def bucket_of_code(codes: Tensor) -> Tensor:
    """The bucket 0 .. 9 of each sequence, (n,)."""
    return codes % NUM_FOLDS


def kept_by(family: Family, rules: Tensor) -> Kept:
    """Every sequence that these rules, (r,) indices, keep; in the order of the rules."""
    parts = [_kept(family, rules[rows], first) for rows, first in _beginnings(family, rules)]
    return Kept(*(torch.cat(columns) for columns in zip(*parts, strict=True))) if parts else _none(family)


def _none(family: Family) -> Kept:
    nothing = torch.empty(0, dtype=torch.int64)
    return Kept(nothing, torch.empty(0, family.order, dtype=torch.int64), nothing)


def _beginnings(family: Family, rules: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Places in `rules` (m,) and initial terms (m, order): all that a rule may begin with, some rules at a time."""
    limits = family.limits(family.rules[rules])
    for limit in limits.unique().tolist():
        grid = torch.cartesian_prod(*[torch.arange(limit)] * family.order).view(-1, family.order)
        for rows in (limits == limit).nonzero().squeeze(1).split(max(1, ROWS_AT_ONCE // len(grid))):
            yield rows.repeat_interleave(len(grid)), grid.repeat(len(rows), 1)


def _kept(family: Family, rule: Tensor, initial: Tensor) -> Kept:
    """The sequences that are kept. What leaves the range at the first step is dropped before the others are made."""
    following = family.next_(family.rules[rule], initial)
    inside = (following >= 0) & (following < NUM_VALUES)
    rule, initial = rule[inside], initial[inside]
    terms, kept = family.sequences(family.rules[rule], initial)
    return Kept(rule[kept], initial[kept], code_of(terms[kept]))


@cache
def held_out_codes(split: Split, fold: int = 0) -> Tensor:
    """The codes of all sequences that rules held out for a split keep, ascending, each once. About 750,000."""
    found = [kept_by(family, rules_of(family, split, fold)).code for family in FAMILIES if family.holds_out_rules]
    return torch.cat(found).unique()


@cache
def real_codes() -> Tensor:
    """The codes of all windows of nine terms of the real sequences, ascending, each once."""
    return code_of(windows(named(), NUM_TERMS)).unique()


def among(codes: Tensor, known: Tensor) -> Tensor:
    """Which codes (n,) are in `known`, which is ascending: (n,) bool.

    >>> among(torch.tensor([3, 4, 9]), torch.tensor([1, 3, 8])).tolist()
    [True, False, False]
    """
    places = torch.searchsorted(known, codes).clamp(max=len(known) - 1)
    return known[places] == codes


def may_train(codes: Tensor, fold: int = 0) -> Tensor:
    """Which sequences, given by their codes (n,), training may see.

    Not those in the buckets of validation and test, not those that a held-out rule keeps, whatever rule made them here,
    and not the windows of real sequences.
    """
    allowed = split_of_bucket(bucket_of_code(codes), fold) == 0
    left = codes[allowed]
    seen = among(left, real_codes())
    for split in ("val", "test"):
        seen |= among(left, held_out_codes(split, fold))
    allowed[allowed.clone()] = ~seen
    return allowed


def made_in_training(terms: Tensor, fold: int = 0) -> Tensor:
    """Which sequences (n, 9) a rule of training would keep, too, (n,) bool. Training sees them under no rule.

    Of a family with such sequences alone, the sequences are held out and the behaviour is not: training shows it under
    another rule's name, with other numbers.
    """
    found = torch.zeros(len(terms), dtype=torch.bool)
    for family in FAMILIES:
        rules = rules_of(family, "train", fold)
        for rows in torch.arange(len(terms)).split(max(1, PAIRS_AT_ONCE // len(rules))):
            found[rows] |= _kept_by_some(family, family.rules[rules], terms[rows])
    return found


def _kept_by_some(family: Family, rules: Tensor, terms: Tensor) -> Tensor:
    """Which sequences (n, 9) some rule of (r, P) keeps, (n,) bool. Few pairs are left after the first two terms."""
    pairs = torch.cartesian_prod(torch.arange(len(terms)), torch.arange(len(rules)))
    row, rule = pairs.unbind(1)
    for place in (family.order, family.order + 1):
        same = family.next_(rules[rule], terms[row, :place]) == terms[row, place]
        row, rule = row[same], rule[same]
    made, kept = family.sequences(rules[rule], terms[row, : family.order])
    found = torch.zeros(len(terms), dtype=torch.bool)
    found[row[kept & (made == terms[row]).all(1)]] = True
    return found
