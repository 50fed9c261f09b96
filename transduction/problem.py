"""A problem: strings of symbols, each with the answers that a model should give, of any length.

All randomness is passed in, so a string is a function of (length, uniforms) alone.
"""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from transduction.kinds import Kind, OneOf

MOST_LISTED = 20
MOST_NAMES = 10_000  # symbols of one sort: each is a row of an embedding, and has a name
ASK = "?"  # the symbol at which an answer is due that is not due at every step

Answering = Callable[[Tensor], Tensor]  # inputs (n, steps) int64 -> answers as in Drawn.targets


class Drawn(NamedTuple):
    """Strings of one length with their answers.

    inputs: (n, steps) int64, ids of symbols.
    targets: ids of answers, (n, steps) int64; where an answer is a set, (n, steps, answers) bool. They have no meaning
        where the mask is False.
    mask: (n, steps) bool, where an answer is due. It is the same in each row.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor


class Problem(ABC):
    """A function from strings to answers.

    Attributes:
        symbols: the names of the input ids.
        answers: the names of the output ids.
        decisive: the score that tables show and that the horizon is about: of the last answer, or of whole strings.
    """

    symbols: tuple[str, ...]
    answers: tuple[str, ...]
    decisive: Literal["last", "whole"] = "last"

    @property
    def kind(self) -> Kind:
        """What an answer is."""
        return OneOf(self.answers)

    @property
    @abstractmethod
    def title(self) -> str:
        """One line that says what is to be computed."""

    @property
    def shortest(self) -> int:
        """The smallest length that the problem has."""
        return 1

    @property
    def longest(self) -> int | None:
        """The largest length that the problem has; None if there is no limit."""
        return None

    def has(self, length: int) -> bool:
        """Whether there are strings of this length, which is from `shortest` to `longest`."""
        return True

    @abstractmethod
    def steps(self, length: int) -> int:
        """The number of steps that a string of this length has, with those at which answers are given."""

    @abstractmethod
    def num_uniforms(self, length: int) -> int:
        """The number of uniforms that a string of this length needs."""

    @abstractmethod
    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        """Random strings of one length.

        Args:
            length: one that the problem has.
            uniforms: (n, num_uniforms(length)) float64 in [0, 1).
        """

    @abstractmethod
    def due(self, inputs: Tensor) -> Tensor:
        """The steps of a string at which an answer is due, (n, steps) bool."""

    @abstractmethod
    def oracle(self, inputs: Tensor) -> Tensor:
        """The right answers as in `Drawn.targets`, read off the inputs alone."""

    def shortcuts(self) -> Mapping[str, Answering]:
        """Ways to answer without the computation that is asked for. Every table shows them beside the model."""
        return {}

    def parse(self, text: str) -> Tensor:
        """A string that a user typed, (1, steps): names of symbols with blanks between; single letters also without.

        Raises:
            ValueError: a word is not a symbol, or there is none.
        """
        words = text.split()
        if len(words) == 1 and words[0] not in self.symbols and all(letter in self.symbols for letter in words[0]):
            words = list(words[0])
        if not words:
            raise ValueError("an empty string has no answer; allowed: one symbol or more")
        for word in words:
            if word not in self.symbols:
                raise ValueError(f"{reprlib.repr(word)} is not a symbol; allowed: {listed(self.symbols)}")
        return torch.tensor([[self.symbols.index(word) for word in words]])


def asked_at_the_end(inputs: Tensor, num_letters: int) -> Tensor:
    """The letters of a typed string (1, steps), whose ids are the first ones, and one ? after them.

    Raises:
        ValueError: there is no letter.
    """
    letters = inputs[inputs < num_letters][None]
    if not letters.numel():
        raise ValueError("a string without letters has no answer; allowed: one letter or more")
    return pad(letters, (0, 1), value=num_letters)


def listed(symbols: Sequence[str]) -> str:
    """Names with blanks between, the first and the last ones if there are many.

    >>> listed(numerals(3)), listed(numerals(60))
    ('0 1 2', '0 1 2 ... 59')
    """
    return " ".join(symbols if len(symbols) <= MOST_LISTED else [*symbols[:3], "...", symbols[-1]])


def below(uniforms: Tensor, number: int) -> Tensor:
    """Whole numbers 0 .. number - 1, equally likely, int64."""
    return (uniforms * number).long()


def always(answer: int) -> Answering:
    """One answer whatever the inputs."""
    return lambda inputs: torch.full_like(inputs, answer)


def numerals(number: int) -> tuple[str, ...]:
    """The names "0", "1", ...

    >>> numerals(3)
    ('0', '1', '2')
    """
    return tuple(map(str, range(number)))


def joined(names: Sequence[str], ids: Sequence[int]) -> str:
    """The names of some ids with blanks between."""
    return " ".join(names[identity] for identity in ids)
