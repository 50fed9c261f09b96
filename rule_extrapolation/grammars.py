"""The base class of formal languages. letters.py has the languages over letters, dyck.py those over brackets.

A grammar is one class with its symbols, its two rules, a sampler, membership and test prompts. All randomness is
passed in, so a sample is a function of (length, uniforms) alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from rule_extrapolation.following import Following
from rule_extrapolation.rules import EOS, FIRST_SYMBOL, All, Rule
from seqlab.randomness import uniforms

_MOST_STRINGS = 2**20  # maximum number of candidates in an enumeration
_SPECIAL_NAMES = ("<sos>", "<eos>", "<pad>")


class Grammar(ABC):
    """A formal language that is the intersection of two rules.

    Attributes:
        name: its usual name, as in "dyck".
        label: its number here, as in "L5"; None if it has none.
        paper: its number in Mészáros et al., "Rule Extrapolation in Language Models" (NeurIPS 2024), or None.
        language_class: regular, context-free or context-sensitive.
        symbols: the content symbols; symbols[i] has the id 3 + i (SOS 0, EOS 1, PAD 2 come before).
        rule_1, rule_2: a string belongs to the language if it satisfies both.
        rule_2_completion: the part of rule 2 that applies to a completion alone: its order or its matching.
        rule_1_description, rule_2_description: the rules in words.
        completion_start: number of prompt tokens that rule_2_completion skips; None: the whole prompt.
        prompt_length: the default length of `prompt_candidates`.
        length_step: every string's length is a multiple of this.
        uniform: whether a string of a length is drawn uniformly from those that have it.
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
    uniform: ClassVar[bool] = True

    @property
    def vocabulary_size(self) -> int:
        """The number of ids: SOS, EOS, PAD and the symbols."""
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
        """The position in prompt + completion where rule_2_completion starts."""
        return prompt_length if self.completion_start is None else min(self.completion_start, prompt_length)

    def lengths(self, max_length: int) -> Tensor:
        """The lengths to sample from, all equally likely: (number,) int64, none of them 0.

        Raises:
            ValueError: max_length is below the shortest string.
        """
        if max_length < self.length_step:
            raise ValueError(f"{self.name}: max_length is {max_length}, it must be at least {self.length_step}")
        return torch.arange(self.length_step, max_length + 1, self.length_step)

    @abstractmethod
    def num_uniforms(self, max_length: int) -> int:
        """The number of uniforms needed to sample a string of at most `max_length` symbols."""

    def batch(self, lengths: Tensor, uniforms: Tensor) -> Tensor:
        """Random strings of the given lengths, uniform over the strings of each length.

        A row is a function of its own length and its own uniforms.

        Args:
            lengths: (batch,) int64 from `lengths(...)`; at least one.
            uniforms: (batch, num_uniforms(longest) or more) float64 in [0, 1).

        Returns:
            Ids (batch, longest) int64, without SOS and EOS, padded with PAD.

        Raises:
            ValueError: no string has such a length, or there are too few uniforms.
        """
        longest = int(lengths.max())
        bad = lengths[~torch.isin(lengths, self.lengths(longest).to(lengths.device))]
        if len(bad):
            raise ValueError(f"{self.name}: there is no string of length {int(bad[0])} to draw")
        needed = self.num_uniforms(longest)
        if uniforms.shape[1] < needed:
            raise ValueError(f"{self.name}: {uniforms.shape[1]} uniforms per string, length {longest} needs {needed}")
        return self.draw(lengths, uniforms, longest)

    @abstractmethod
    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        """Implements `batch`, which has checked the arguments."""

    def sample(self, number: int, *, length: int, seed: int = 1) -> list[str]:
        """Random strings of the language, uniform over those of this length.

        String i is a function of (seed, length, i).

        Raises:
            ValueError: there is no string of this length, or the number is below 1.

        >>> from rule_extrapolation.dyck import Dyck
        >>> Dyck().sample(3, length=6, seed=1)
        ['[[[]]]', '[[()]]', '[()][]']
        """
        if number < 1:
            raise ValueError(f"number is {number}, it must be at least 1")
        if length < 1 or length not in self.lengths(max(length, self.length_step)):
            raise ValueError(f"{self.name}: there is no string of length {length} to draw")
        numbers = uniforms(seed, f"{self.name} sample", 0, number, self.num_uniforms(length))
        return [self.text(string) for string in self.batch(torch.full((number,), length), numbers).tolist()]

    def judge(self, text: str) -> dict[str, bool]:
        """Which rules a string keeps, and whether it is in the language. Spaces are ignored.

        Raises:
            ValueError: a character is not a symbol of the language.

        >>> from rule_extrapolation.dyck import Dyck
        >>> Dyck().judge("( [ ) ]")
        {'rule_1': True, 'rule_2': False, 'grammatical': False}
        """
        string = torch.tensor([[*self.parse(text), EOS]])
        rules = {"rule_1": self.rule_1, "rule_2": self.rule_2, "grammatical": self.grammatical}
        return {name: bool(rule(string)) for name, rule in rules.items()}

    def following(self, strings: Tensor) -> Tensor:
        """What may follow each prefix of one symbol or more: the symbols, and the end if the prefix is in the language.

        A symbol may follow if some string of the language begins so. Here by search, string by string.

        Args:
            strings: ids of symbols (batch, time), without special tokens; in the language or not.

        Returns:
            (batch, time, symbols + 1) bool; the end is last.
        """
        search = Following(self.grammatical, self.symbol_ids)
        return torch.tensor([search(string) for string in strings.tolist()])

    def strings(self, length: int) -> Tensor:
        """All strings of the language of this length, by enumeration: (number, length) int64, in id order.

        Raises:
            ValueError: the length is negative, or there are too many candidates.
        """
        return (candidates := self.all_strings(length))[self.grammatical(candidates)]

    def all_strings(self, length: int) -> Tensor:
        """All strings over the symbols of this length, in the language or not: (number, length) int64.

        Raises:
            ValueError: the length is negative, or there are too many strings.
        """
        num_symbols = len(self.symbols)
        if length < 0 or num_symbols**length > _MOST_STRINGS:
            longest = max(n for n in range(64) if num_symbols**n <= _MOST_STRINGS)
            raise ValueError(f"{self.name}: cannot enumerate strings of length {length}, only of 0 to {longest}")
        place = num_symbols ** torch.arange(length - 1, -1, -1)
        return torch.arange(num_symbols**length)[:, None] // place % num_symbols + FIRST_SYMBOL

    def prompt_candidates(self, length: int) -> list[tuple[int, ...]]:
        """The test prompts, without repeats: by default all strings over the symbols.

        Raises:
            ValueError: the length is below 1, or there are too many prompts.
        """
        if length < 1:
            raise ValueError(f"{self.name}: prompt length is {length}, it must be at least 1")
        return [tuple(prompt) for prompt in self.all_strings(length).tolist()]

    def text(self, ids: Iterable[int]) -> str:
        """The symbols of the ids, concatenated; special tokens as <sos>, <eos>, <pad>."""
        names = (*_SPECIAL_NAMES, *self.symbols)
        return "".join(names[token] for token in ids)

    def parse(self, text: str) -> list[int]:
        """The ids of a string of symbols. Spaces are ignored.

        Raises:
            ValueError: a character is not a symbol of the language.
        """
        characters = "".join(text.split())
        for character in characters:
            if character not in self.symbols:
                allowed = " ".join(self.symbols)
                raise ValueError(f"{self.name}: {character!r} is not a symbol of the language; allowed: {allowed}")
        return [FIRST_SYMBOL + self.symbols.index(character) for character in characters]
