"""The base class of families of integer sequences: rules, initial terms, continuation, and which draws are kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property, reduce
from itertools import product

import torch
from torch import Tensor

from seqlab.randomness import row_hash

# n sequences, t terms, P parameters of a rule, R rules of a family

NUM_VALUES = 256  # terms are 0 .. 255
NUM_TERMS = 9  # eight to read and the one after
MASKED = -1  # marks terms after the end of a sequence
MIN_HELD_OUT_RULES = 50  # a family with fewer holds out initial values instead of rules
SCALES = (4, 8, 16, 32, 64, 128, 256)


class Family(ABC):
    """A family of sequences. A rule is a row of integers; a rule and its initial terms determine a sequence.

    A subclass sets its name and phase, lists its parameters and defines `next_`. Sampling, held-out rules and the
    Bayes predictor follow from the enumerated rules.

    `order` is the number of initial terms. They are uniform over 0 .. 255, or if `scaled` over 0 .. h-1 with h uniform
    over SCALES, which leaves growing rules room. `limits` may lower both bounds.
    """

    name: str
    phase: int  # 1, 2 or 3
    order: int = 1
    scaled: bool = False

    def parameters(self) -> Sequence[Sequence[int]]:
        """The values of each parameter. The rules are all combinations that pass `is_rule`."""
        return ()

    def is_rule(self, *parameters: int) -> bool:
        """Whether a combination is a rule of this family."""
        return True

    @abstractmethod
    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        """The next term (n,) after terms (n, t), t >= order, under rules (n, P). It may be outside 0 .. 255."""

    def limits(self, rules: Tensor) -> Tensor:
        """Exclusive upper bounds of the initial terms, (n,)."""
        return torch.full((len(rules),), NUM_VALUES)

    def degenerate(self, rules: Tensor, terms: Tensor) -> Tensor:
        """Which sequences (n, 9) reveal too little of their rule, (n,) bool: by default, a constant end."""
        return (terms[:, -3] == terms[:, -1]) & (terms[:, -2] == terms[:, -1])

    @cached_property
    def rules(self) -> Tensor:
        """All rules, (R, P) int64; (1, 0) for a family without parameters."""
        rows = [row for row in product(*self.parameters()) if self.is_rule(*row)]
        return torch.tensor(rows, dtype=torch.int64).view(len(rows), -1)

    @property
    def holds_out_rules(self) -> bool:
        """Whether splits have disjoint rules. Otherwise only their sequences are disjoint."""
        return len(self.rules) >= MIN_HELD_OUT_RULES

    def makes_a_family(self, rules: Tensor) -> Tensor:
        """Which rules (n, P) make all sequences of another family, (n,) bool. They are never held out."""
        return torch.zeros(len(rules), dtype=torch.bool)

    @cached_property
    def buckets(self) -> Tensor:
        """The hash bucket of each rule, (R,) from 0 to 9: sequences/held_out.py says which split each belongs to."""
        return bucket_of(torch.cat([torch.full((len(self.rules), 1), hash_of_name(self.name)), self.rules], 1))

    def initial(self, rules: Tensor, numbers: Tensor) -> Tensor:
        """Initial terms (n, order) from uniforms (n, order + 1) in [0, 1). The last uniform selects the scale."""
        limits = self.limits(rules)
        if self.scaled:
            limits = torch.minimum(limits, torch.tensor(SCALES)[(numbers[:, -1] * len(SCALES)).long()])
        return (numbers[:, :-1].T * limits).long().T

    def initial_probability(self, rules: Tensor, initial: Tensor) -> Tensor:
        """The probability of these initial terms under `initial`, (n,) float64."""
        limits = self.limits(rules)
        bounds = torch.tensor(SCALES) if self.scaled else torch.tensor([NUM_VALUES])
        bounds_n1 = torch.minimum(limits.unsqueeze(1), bounds)
        inside = (initial.amax(1, keepdim=True) < bounds_n1).double()
        return (inside * bounds_n1.double() ** -self.order).mean(1)

    def continue_(self, rules: Tensor, terms: Tensor, count: int) -> Tensor:
        """The `count` terms after terms (n, t), t >= order: (n, count). Meaningless after the first overflow."""
        return self.extended(rules, terms, terms.shape[1] + count)[:, terms.shape[1] :]

    def extended(self, rules: Tensor, terms: Tensor, length: int) -> Tensor:
        """Terms (n, t) and their continuation, (n, length), in column-major memory order."""
        columns = terms.new_empty(length, len(terms))
        columns[: terms.shape[1]] = terms.T
        for place in range(terms.shape[1], length):
            columns[place] = self.next_(rules, columns[:place].T)
        return columns.T

    def sequences(self, rules: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        """Nine terms (n, 9) and which rows are kept, (n,) bool: all terms in 0 .. 255 and not degenerate."""
        terms = self.extended(rules, initial, NUM_TERMS)
        bits = reduce(torch.bitwise_or, terms.unbind(1))  # a term outside 0 .. 255 sets a bit above the lowest eight
        return terms, (bits & -NUM_VALUES == 0) & ~self.degenerate(rules, terms)


def signed(largest: int) -> list[int]:
    """-largest .. largest without 0."""
    return [value for value in range(-largest, largest + 1) if value]


def last(terms: Tensor) -> Tensor:
    """The last term of each row."""
    return terms[:, -1]


def bucket_of(rows: Tensor) -> Tensor:
    """A stable hash bucket 0 .. 9 for each row of integers, (n,)."""
    return row_hash(rows) % 10


def hash_of_name(name: str) -> int:
    """An integer from a name (its first seven bytes), the same on every machine."""
    return int.from_bytes(name.encode()[:7], "little")
