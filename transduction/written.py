"""Problems that read a string and then write answers, one at each ?."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from transduction.problem import ASK, Drawn, Problem


class Written(Problem):
    """The base class. A string is right if all of what is written is: the last answer alone often needs one symbol.

    Args:
        letters: the names of the symbols of which strings consist.
        answers: the names of the answers.
    """

    decisive: Literal["last", "whole"] = "whole"

    def __init__(self, letters: Sequence[str], answers: Sequence[str]):
        self.num_letters = len(letters)
        self.symbols, self.answers = (*letters, ASK), tuple(answers)

    def num_read(self, length: int) -> int:
        """The number of symbols before the first ?."""
        return length

    @abstractmethod
    def num_written(self, num_read: int) -> int:
        """The number of answers after so many symbols."""

    @abstractmethod
    def strings(self, length: int, uniforms: Tensor) -> Tensor:
        """Random strings without ?, (n, num_read(length))."""

    @abstractmethod
    def written(self, strings: Tensor) -> Tensor:
        """The answers to strings without ?, (n, num_written)."""

    @abstractmethod
    def solved(self, string: Sequence[int]) -> Sequence[int]:
        """The answers to one string in plain Python, on another way than `written`."""

    def steps(self, length: int) -> int:
        num_read = self.num_read(length)
        return num_read + self.num_written(num_read)

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        strings = self.strings(length, uniforms)
        inputs = pad(strings, (0, self.num_written(strings.shape[1])), value=self.num_letters)
        return Drawn(inputs, pad(self.written(strings), (strings.shape[1], 0)), self.due(inputs))

    def due(self, inputs: Tensor) -> Tensor:
        return inputs == self.num_letters

    def oracle(self, inputs: Tensor) -> Tensor:
        """String by string, in plain Python."""
        num_read = int((inputs[0] != self.num_letters).sum())
        answers = torch.tensor([list(self.solved(string)) for string in inputs[:, :num_read].tolist()])
        return pad(answers, (num_read, 0))

    def parse(self, text: str) -> Tensor:
        """Parse a string; the ? are added.

        Raises:
            ValueError: a word is not a symbol, or it is not a string of the problem.
        """
        letters = super().parse(text)
        letters = letters[letters < self.num_letters][None]
        if not letters.numel():
            raise ValueError(f"{text.strip()}: allowed: a string, the ? may be left out")
        self.check(letters[0].tolist())
        return pad(letters, (0, self.num_written(letters.shape[1])), value=self.num_letters)

    def check(self, string: Sequence[int]) -> None:
        """Whether a string that a user typed is one of the problem.

        Raises:
            ValueError: it is not.
        """
