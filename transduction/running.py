"""Problems with an answer at each step: every one is asked for, or the last alone."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from transduction.problem import ASK, Drawn, Problem, asked_at_the_end, below

Readout = Literal["every", "last"]


class Running(Problem):
    """The base class. Every letter is equally likely at each place.

    Args:
        letters: the names of the symbols of which strings consist.
        answers: the names of the answers.
        readout: `every`: an answer at each step; `last`: one at the end, where a ? stands.
    """

    def __init__(self, letters: Sequence[str], answers: Sequence[str], readout: Readout):
        self.num_letters, self.readout = len(letters), readout
        self.symbols = (*letters, *([ASK] if readout == "last" else []))
        self.answers = tuple(answers)

    @property
    def when(self) -> str:
        """When an answer is due, for the title."""
        return "at each step" if self.readout == "every" else "at the end"

    def steps(self, length: int) -> int:
        return length + (self.readout == "last")

    def num_uniforms(self, length: int) -> int:
        return length

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        letters = below(uniforms[:, :length], self.num_letters)
        answers = self.running(letters)
        if self.readout == "last":
            letters = pad(letters, (0, 1), value=self.num_letters)
            answers = torch.cat([answers, answers[:, -1:]], 1)
        return Drawn(letters, answers, self.due(letters))

    @abstractmethod
    def running(self, letters: Tensor) -> Tensor:
        """The answers at each step, for letters alone: (n, length) -> (n, length), int64."""

    def due(self, inputs: Tensor) -> Tensor:
        mask = torch.full_like(inputs, self.readout == "every", dtype=torch.bool)
        mask[:, -1] = True
        return mask

    def parse(self, text: str) -> Tensor:
        """Parse a string of letters; with `last`, the ? is added.

        Raises:
            ValueError: a word is not a symbol, or there is no letter.
        """
        inputs = super().parse(text)
        return asked_at_the_end(inputs, self.num_letters) if self.readout == "last" else inputs

    def last_letter(self, inputs: Tensor) -> Tensor:
        """The letter that was read last, at each step."""
        return inputs.where(inputs < self.num_letters, inputs.roll(1, 1)).clamp(max=self.num_letters - 1)
