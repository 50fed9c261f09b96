"""Validation and test sequences: each once, in equal numbers for every family and for every rule of a family."""

from functools import reduce

import torch
from torch import Tensor

from seqlab.randomness import uniforms_of
from sequences.curriculum import Samples
from sequences.families import FAMILIES
from sequences.family import NUM_VALUES, Family
from sequences.held_out import (
    SPLITS,
    Split,
    among,
    bucket_of_code,
    code_of,
    held_out_codes,
    kept_by,
    rules_of,
    split_of_bucket,
)


def held_out(seed: int, split: Split, count: int, fold: int = 0) -> Samples:
    """The sequences of validation or test: about `count`, in equal parts from all families.

    A family's part has as many sequences of each of its rules as possible, and none twice. Rules that keep no sequence
    have no part. A family with fewer sequences gives all it has, so metrics weigh rules and families
    (sequences/metrics.py). Within a rule a sequence is as likely as its initial terms are in training. The order is
    random.

    Args:
        seed: seed of the choice.
        split: val or test. No sequence is in both, and none in training.
        count: number of sequences.
        fold: which tenth of the rules and sequences is the test.
    """
    part = -(-count // len(FAMILIES))
    found = [_of_family(number, seed, split, part, fold) for number in range(len(FAMILIES))]
    together = Samples(*(torch.cat(columns) for columns in zip(*found, strict=True)))
    codes = code_of(together.terms)
    once = _first_of_each(codes)
    shuffled = once[uniforms_of(seed, f"{split} order", codes[once], 1)[:, 0].argsort(stable=True)]
    return Samples(*(column[shuffled] for column in together))


def _of_family(number: int, seed: int, split: Split, count: int, fold: int) -> Samples:
    """The part of one family: one sequence of each rule, then a second of each, and so on."""
    family = FAMILIES[number]
    kept = kept_by(family, rules_of(family, split, fold))
    probability = family.initial_probability(family.rules[kept.rule], kept.initial)
    frequency = torch.zeros(len(family.rules), dtype=torch.float64).index_add_(0, kept.rule, probability)
    # the least of exponential variables at these rates are a weighted choice without repetition
    places = reduce(lambda place, term: place * NUM_VALUES + term, kept.initial.unbind(1), kept.rule)
    keys = uniforms_of(seed, f"{split} {family.name}", places, 1)[:, 0].neg().log1p().neg() / probability
    order = keys.argsort()
    order = order[_of_split(kept.code[order], family, split, fold)]
    order = order[_first_of_each(kept.code[order])]
    place_of_rule = uniforms_of(seed, f"{split} {family.name} rules", torch.arange(len(family.rules)), 1)[:, 0]
    order = order[place_of_rule[kept.rule[order]].argsort(stable=True)]
    order = order[_ranks(kept.rule[order]).argsort(stable=True)][:count]
    rule = kept.rule[order]
    terms, _ = family.sequences(family.rules[rule], kept.initial[order])
    return Samples(terms, torch.full((len(rule),), number), rule, frequency[rule])


def _of_split(codes: Tensor, family: Family, split: Split, fold: int) -> Tensor:
    """Which of the sequences that a family's rules for a split keep belong to it, (n,) bool.

    All that a test rule keeps are test. Of families that hold out no rules, a bucket of sequences belongs to a split.
    Validation has no sequence of the test.
    """
    own = split_of_bucket(bucket_of_code(codes), fold)
    fits = torch.ones_like(codes, dtype=torch.bool) if family.holds_out_rules else own == SPLITS.index(split)
    if split == "val":
        fits &= (own != SPLITS.index("test")) & ~among(codes, held_out_codes("test", fold))
    return fits


def _first_of_each(codes: Tensor) -> Tensor:
    """The places of the first occurrence of each code, ascending."""
    names, members = codes.unique(return_inverse=True)
    first = torch.full((len(names),), len(codes)).scatter_reduce(0, members, torch.arange(len(codes)), "amin")
    return first.sort().values


def _ranks(rules: Tensor) -> Tensor:
    """How many equal ones are before each, where equal ones (n,) stand together.

    >>> _ranks(torch.tensor([4, 4, 4, 1, 7, 7])).tolist()
    [0, 1, 2, 0, 0, 1]
    """
    sizes = rules.unique_consecutive(return_counts=True)[1]
    return torch.arange(len(rules)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
