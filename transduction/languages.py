"""Formal languages as problems need them: members and other strings of each length, and what may follow a prefix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transduction.paths import Paths
from transduction.problem import below
from transduction.regular import DFA

END = "$"  # stands for the end of a string, among the symbols that may follow
MOST_LISTED = 4096  # strings of a length that are looked at one by one
ATTEMPTS = 24


class After(NamedTuple):
    """What is so after a prefix: is it in the language, and which letters may follow; the end has the last number."""

    inside: bool
    following: frozenset[int]


class Language(ABC):
    """A set of strings over an alphabet.

    Attributes:
        name: for titles.
        letters: the alphabet.
    """

    name: str
    letters: tuple[str, ...]

    @abstractmethod
    def has_members(self, length: int) -> bool:
        """Whether there is a string of this length in the language."""

    @abstractmethod
    def num_uniforms(self, length: int) -> int:
        """The number of uniforms that a member of this length needs."""

    @abstractmethod
    def members(self, length: int, uniforms: Tensor) -> Tensor:
        """Strings in the language, all of a length equally likely: (n, num_uniforms(length)) -> (n, length)."""

    @abstractmethod
    def following(self, strings: Tensor) -> Tensor:
        """What may follow each prefix, (n, length) -> (n, length, letters + 1) bool; the last one is the end.

        A letter may follow if some string of the language begins so. The end may follow if the prefix is in.
        """

    @abstractmethod
    def read(self, string: Sequence[int]) -> list[After]:
        """The same, letter by letter in plain Python, on other ways than `following`."""

    def contains(self, strings: Tensor) -> Tensor:
        """Whether each string is in the language, (n, length) -> (n,) bool."""
        return self.following(strings)[:, -1, -1]

    def has_others(self, length: int) -> bool:
        """Whether there is a string of this length outside the language."""
        return not self._listed(length) or bool((~self.contains(self.all_strings(length))).any())

    def _listed(self, length: int) -> bool:
        """Whether there are at most MOST_LISTED strings of this length."""
        return len(self.letters) ** min(length, MOST_LISTED.bit_length()) <= MOST_LISTED

    def num_uniforms_others(self, length: int) -> int:
        """The number of uniforms that a string of this length outside the language needs."""
        return ATTEMPTS * length

    def others(self, length: int, uniforms: Tensor) -> Tensor:
        """Strings outside the language, all of a length equally likely, (n, length).

        Short ones are drawn from a list. Of long ones, a string is drawn again while it is in the language.

        Raises:
            ValueError: one was in the language 24 times.
        """
        if self._listed(length):
            outside = (strings := self.all_strings(length))[~self.contains(strings)]
            return outside[below(uniforms[:, 0], len(outside))]
        tries = below(uniforms.view(len(uniforms), ATTEMPTS, length), len(self.letters)).unbind(1)
        strings = tries[0]
        inside = self.contains(strings)
        for again in tries[1:]:
            if not inside.any():
                break
            strings = torch.where(inside[:, None], again, strings)
            inside = self.contains(strings)
        if not inside.any():
            return strings
        raise ValueError(f"{self.name}: too few strings of length {length} are outside to draw any")

    def all_strings(self, length: int) -> Tensor:
        """Every string of a length, (number, length)."""
        number = len(self.letters)
        return torch.arange(number**length)[:, None] // number ** torch.arange(length - 1, -1, -1) % number


class Regular(Language):
    """The strings that an automaton accepts.

    Args:
        dfa: the automaton.
        name: for titles.
    """

    def __init__(self, dfa: DFA, name: str):
        self.dfa, self.name, self.letters = dfa, name, dfa.letters
        self.inside, self.outside, self.alive = (
            Paths(dfa.moves, ends) for ends in (dfa.accepting, [not end for end in dfa.accepting], dfa.live)
        )
        after = [[dfa.live[state] for state in row] + [end] for row, end in zip(dfa.moves, dfa.accepting, strict=True)]
        self.after, self.moves = torch.tensor(after), torch.tensor(dfa.moves)

    def has_members(self, length: int) -> bool:
        return self.inside.exist(length)

    def has_others(self, length: int) -> bool:
        return self.outside.exist(length)

    def num_uniforms(self, length: int) -> int:
        return length

    num_uniforms_others = num_uniforms

    def members(self, length: int, uniforms: Tensor) -> Tensor:
        return self.inside.draw(length, uniforms)[0]

    def others(self, length: int, uniforms: Tensor) -> Tensor:
        """By counting too."""
        return self.outside.draw(length, uniforms)[0]

    def following(self, strings: Tensor) -> Tensor:
        return self.after[self.states(strings)]

    def states(self, strings: Tensor) -> Tensor:
        """The automaton's state after each letter, (n, length) int64."""
        state, found = torch.zeros(len(strings), dtype=torch.int64), []
        for letters in strings.T:
            state = self.moves[state, letters]
            found.append(state)
        return torch.stack(found, 1)

    def read(self, string: Sequence[int]) -> list[After]:
        afters = []
        for row, inside in zip(self.dfa.moves, self.dfa.accepting, strict=True):
            after = {letter for letter, state in enumerate(row) if self.dfa.live[state]}
            afters.append(After(inside, frozenset(after | {len(self.letters)} if inside else after)))
        return [afters[state] for state in self.read_states(string)]

    def read_states(self, string: Sequence[int]) -> list[int]:
        """The states, in plain Python."""
        state, found = 0, []
        for letter in string:
            state = self.dfa.moves[state][letter]
            found.append(state)
        return found
