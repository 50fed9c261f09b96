"""The languages of rule_extrapolation as problems: is a string in, and what may follow."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from rule_extrapolation.following import Following
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import FIRST_SYMBOL
from transduction.formal import READOUTS, ByReadout, Readout
from transduction.languages import After, Language

MEMBERS_AT_ONCE = 256


class Grammatical(ByReadout):
    """A language that a grammar defines.

    Args:
        language: the grammar.
        readout: `member`: is the whole string in the language, at the end; `accept`: is the string so far, at each
            step; `next`: which symbols may follow, at each step.
    """

    def __init__(self, *, language: Grammar, readout: Readout = "member"):
        super().__init__(READOUTS[readout](OfGrammar(language)))


class OfGrammar(Language):
    """The strings of a grammar. Letter i is its symbol with the id 3 + i.

    Args:
        grammar: the grammar.

    Raises:
        ValueError: its sampler draws some strings of a length more often than others, or shorter ones.
    """

    def __init__(self, grammar: Grammar):
        if not grammar.uniform:
            raise ValueError(f"{type(grammar).__name__} does not draw the strings of a length alike: give another")
        self.grammar, self.name, self.letters = grammar, grammar.name, tuple(grammar.symbols)
        self.search = Following(grammar.grammatical, grammar.symbol_ids)
        self.columns = lru_cache(maxsize=1)(self._columns)

    def has_members(self, length: int) -> bool:
        return length % self.grammar.length_step == 0

    def num_uniforms(self, length: int) -> int:
        return self.grammar.num_uniforms(length)

    def members(self, length: int, uniforms: Tensor) -> Tensor:
        return self.grammar.batch(torch.full((len(uniforms),), length), uniforms) - FIRST_SYMBOL

    def following(self, strings: Tensor) -> Tensor:
        return self.grammar.following(strings + FIRST_SYMBOL)

    def contains(self, strings: Tensor) -> Tensor:
        """By the rules, on the whole string."""
        return self.grammar.grammatical(strings + FIRST_SYMBOL)

    def read(self, string: Sequence[int]) -> list[After]:
        """Where the length determines the string, by looking at all of them; otherwise with the rules as automata."""
        if self.grammar.num_uniforms(len(string)) == 0:
            return self._among_members(string)
        found = self.search([symbol + FIRST_SYMBOL for symbol in string])
        after = {may: After(may[-1], frozenset(place for place, one in enumerate(may) if one)) for may in set(found)}
        return [after[may] for may in found]

    def _among_members(self, string: Sequence[int]) -> list[After]:
        end, columns, found = len(self.letters), self.columns(len(string)), []
        left = torch.arange(columns.shape[1])
        for place, symbol in enumerate(string):
            left = left[columns[place, left] == symbol]
            after = frozenset(columns[place + 1, left].tolist())
            found.append(After(end in after, after))
        return found

    def _columns(self, length: int) -> Tensor:
        """The members up to three times a length, so far a start can reach: (longest + 1, number) int8, with END."""
        longest, end = 3 * length + 6, len(self.letters)
        lengths = self.grammar.lengths(longest - longest % self.grammar.length_step)
        columns = torch.full((longest + 1, len(lengths)), end, dtype=torch.int8)
        for start in range(0, len(lengths), MEMBERS_AT_ONCE):
            part = lengths[start : start + MEMBERS_AT_ONCE]
            members = self.grammar.batch(part, torch.empty(len(part), 0, dtype=torch.float64)) - FIRST_SYMBOL
            columns[: members.shape[1], start : start + len(part)] = members.where(members >= 0, end).T
        return columns
