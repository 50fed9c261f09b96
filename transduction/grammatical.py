"""The languages of rule_extrapolation as problems: is a string in, and what may follow."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from rule_extrapolation.following import Following
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import FIRST_SYMBOL
from transduction.formal import READOUTS, ByReadout, Readout
from transduction.languages import After, Language


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
    """

    def __init__(self, grammar: Grammar):
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
        """The members up to three times a length, so far a start can reach: (longest + 1, number), with END."""
        longest = 3 * length + 6
        lengths = self.grammar.lengths(longest - longest % self.grammar.length_step)
        members = self.grammar.batch(lengths, torch.empty(len(lengths), 0, dtype=torch.float64)) - FIRST_SYMBOL
        return pad(members.where(members >= 0, len(self.letters)), (0, 1), value=len(self.letters)).T.contiguous()
