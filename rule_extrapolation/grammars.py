"""Formal languages: what a grammar owns. Those over letters are in letters.py, those over brackets in dyck.py.

A grammar is one class: its symbols, its two rules, a sampler, membership and its test prompts. Everything random
comes in as an argument, so a sample is a function of (length, uniforms) and nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from rule_extrapolation.rules import FIRST_SYMBOL, All, Rule

_MOST_STRINGS = 2**20  # candidates that an enumeration may look at
_SPECIAL_NAMES = ("<sos>", "<eos>", "<pad>")


class Grammar(ABC):
    """A formal language that is the intersection of two rules.

    Attributes:
        name: what people call it, as in "dyck".
        label: its number here, as in "L5"; None where it has none.
        paper: its number in Mészáros et al., "Rule Extrapolation in Language Models" (NeurIPS 2024), or None.
        language_class: regular, context-free or context-sensitive.
        symbols: the content symbols; symbols[i] has the id 3 + i (SOS 0, EOS 1, PAD 2 come before).
        rule_1, rule_2: a string belongs to the language if it satisfies both.
        rule_2_completion: what of rule 2 can be asked of a completion alone: its order or its matching.
        rule_1_description, rule_2_description: the rules in words.
        completion_start: how many tokens of a prompt rule_2_completion leaves out; None: the whole prompt.
        prompt_length: the default length of `prompt_candidates`.
        length_step: every string's length is a multiple of it.
    """

    name: ClassVar[str]
    label: ClassVar[str | None] = None
    paper: ClassVar[str | None] = None
    language_class: ClassVar[str]
    symbols: ClassVar[str]
    rule_1: ClassVar[Rule]
    rule_2: ClassVar[Rule]
    rule_2_completion: ClassVar[Rule]
    rule_1_description: ClassVar[str]
    rule_2_description: ClassVar[str]
    completion_start: ClassVar[int | None] = None
    prompt_length: ClassVar[int] = 8
    length_step: ClassVar[int] = 1

    @property
    def vocabulary_size(self) -> int:
        """SOS, EOS, PAD and the symbols."""
        return FIRST_SYMBOL + len(self.symbols)

    @property
    def symbol_ids(self) -> range:
        """The ids of the content symbols."""
        return range(FIRST_SYMBOL, self.vocabulary_size)

    @property
    def grammatical(self) -> Rule:
        """Membership of the language: both rules."""
        return All((self.rule_1, self.rule_2))

    def completion_from(self, prompt_length: int) -> int:
        """The position in prompt and completion from which rule_2_completion looks at them."""
        return prompt_length if self.completion_start is None else min(self.completion_start, prompt_length)

    def lengths(self, max_length: int) -> Tensor:
        """The lengths that are drawn, each equally often: (number,) int64, none of them 0.

        Raises:
            ValueError: no string of the language is so short.
        """
        if max_length < self.length_step:
            raise ValueError(f"{self.name}: max_length is {max_length}, it must be at least {self.length_step}")
        return torch.arange(self.length_step, max_length + 1, self.length_step)

    @abstractmethod
    def num_uniforms(self, max_length: int) -> int:
        """How many uniform numbers a string of at most `max_length` symbols is made from."""

    def sample(self, lengths: Tensor, uniforms: Tensor) -> Tensor:
        """Strings of the given lengths, each string of that length equally likely.

        A row is a function of its own length and its own uniforms.

        Args:
            lengths: (batch,) int64, taken from `lengths(...)`; at least one.
            uniforms: (batch, num_uniforms(longest) or more) float64 in [0, 1).

        Returns:
            Ids (batch, longest) int64, without SOS and EOS, filled up with PAD.

        Raises:
            ValueError: no string has such a length, or there are too few uniforms.
        """
        longest = int(lengths.max())
        bad = lengths[~torch.isin(lengths, self.lengths(longest).to(lengths.device))]
        if len(bad):
            raise ValueError(f"{self.name}: there is no string of length {int(bad[0])} to draw")
        needed = self.num_uniforms(longest)
        if uniforms.shape[1] < needed:
            raise ValueError(f"{self.name}: {uniforms.shape[1]} uniforms a string, length {longest} takes {needed}")
        return self.draw(lengths, uniforms, longest)

    @abstractmethod
    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        """`sample` after its checks."""

    def strings(self, length: int) -> Tensor:
        """Every string of this length, by trying all: (number, length) int64, in the order of their ids.

        Raises:
            ValueError: negative length, or too many strings to try.
        """
        return (candidates := self.all_strings(length))[self.grammatical(candidates)]

    def all_strings(self, length: int) -> Tensor:
        """Every string over the symbols, whether it belongs to the language or not; as `strings`."""
        num_symbols = len(self.symbols)
        if length < 0 or num_symbols**length > _MOST_STRINGS:
            longest = max(n for n in range(64) if num_symbols**n <= _MOST_STRINGS)
            raise ValueError(f"{self.name}: cannot enumerate strings of length {length}, only of 0 to {longest}")
        place = num_symbols ** torch.arange(length - 1, -1, -1)
        return torch.arange(num_symbols**length)[:, None] // place % num_symbols + FIRST_SYMBOL

    def prompt_candidates(self, length: int) -> list[tuple[int, ...]]:
        """The prompts to test, without repeats: here every string over the symbols.

        Raises:
            ValueError: length below 1, or too many of them.
        """
        if length < 1:
            raise ValueError(f"{self.name}: prompt length is {length}, it must be at least 1")
        return [tuple(prompt) for prompt in self.all_strings(length).tolist()]

    def text(self, ids: Iterable[int]) -> str:
        """The symbols of some ids, one after another; special tokens as <sos>, <eos>, <pad>."""
        names = (*_SPECIAL_NAMES, *self.symbols)
        return "".join(names[token] for token in ids)

    def parse(self, text: str) -> list[int]:
        """The ids of some symbols, with or without blanks between them.

        Raises:
            ValueError: a character is no symbol of the language.
        """
        characters = "".join(text.split())
        for character in characters:
            if character not in self.symbols:
                allowed = " ".join(self.symbols)
                raise ValueError(f"{self.name}: {character!r} is not a symbol of the language, these are: {allowed}")
        return [FIRST_SYMBOL + self.symbols.index(character) for character in characters]
