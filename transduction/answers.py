"""Problems whose answer is a string of the same length, after the string: reverse, copy, sort; and majority."""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from transduction.problem import ASK, MOST_NAMES, Answering, Drawn, Problem, always, below, numerals
from transduction.running import Readout, Running


class Rewriting(Problem):
    """Write a string again in another order: n symbols, then n times ?, at which the answers are due.

    A string is right if all of it is: the last answer alone needs one symbol, and that of `sort` is the largest.

    Args:
        order: `copy`, `reverse`, or `sort` (ascending).
        alphabet: number of symbols.
        repeats: whether a symbol may occur twice in a string. Without repeats, a string is as long as the alphabet at
            most (copying without repeats needs one look back; with them, a place).
    """

    decisive: Literal["last", "whole"] = "whole"

    def __init__(
        self,
        *,
        order: Literal["copy", "reverse", "sort"] = "reverse",
        alphabet: Annotated[int, Ge(2), Le(MOST_NAMES)] = 2,
        repeats: bool = True,
    ):
        self.order, self.repeats, self.alphabet = order, repeats, alphabet
        self.answers = numerals(alphabet)
        self.symbols = (*self.answers, ASK)

    @property
    def title(self) -> str:
        what = {"copy": "copy the string", "reverse": "reverse the string", "sort": "sort the string"}[self.order]
        return f"{what}, {self.alphabet} symbols{'' if self.repeats else ', each once at most'}"

    @property
    def longest(self) -> int | None:
        return None if self.repeats else self.alphabet

    def steps(self, length: int) -> int:
        return 2 * length

    def num_uniforms(self, length: int) -> int:
        return length if self.repeats else self.alphabet

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        """Every string of this length is equally likely."""
        letters = below(uniforms, self.alphabet) if self.repeats else uniforms.argsort(1)[:, :length]
        written = {"copy": letters, "reverse": letters.flip(1), "sort": letters.sort(1).values}[self.order]
        inputs = torch.cat([letters, torch.full_like(letters, self.alphabet)], 1)
        return Drawn(inputs, torch.cat([letters, written], 1), self.due(inputs))

    def due(self, inputs: Tensor) -> Tensor:
        return inputs == self.alphabet

    def oracle(self, inputs: Tensor) -> Tensor:
        """By counting: the k-th answer of `sort` is the smallest symbol with more than k symbols up to it."""
        length = inputs.shape[1] // 2
        read, places = inputs[:, :length], torch.arange(length)
        if self.order == "sort":
            counts = torch.nn.functional.one_hot(read, self.alphabet).sum(1).cumsum(1)  # of symbols up to each
            answers = (counts[:, None, :] <= places[:, None]).sum(2)
        else:
            answers = read[:, places if self.order == "copy" else length - 1 - places]
        return torch.cat([read, answers], 1)

    def shortcuts(self) -> Mapping[str, Answering]:
        """With one symbol of the string; of `sort`, also with what is expected at each place, whatever the string."""

        def last(inputs: Tensor) -> Tensor:
            place = inputs.shape[1] // 2 - 1
            return inputs[:, place : place + 1].expand_as(inputs)

        def by_place(inputs: Tensor) -> Tensor:
            length = inputs.shape[1] // 2
            return (torch.arange(2 * length) % length * self.alphabet // length).expand_as(inputs)

        found = {"one answer": always(0), "first symbol": lambda inputs: inputs[:, :1].expand_as(inputs)}
        return found | {"last symbol": last} | ({"by its place": by_place} if self.order == "sort" else {})

    def parse(self, text: str) -> Tensor:
        """Parse the string alone; the ? are added.

        Raises:
            ValueError: a word is not a symbol, there is none, or one occurs twice and may not.
        """
        letters = super().parse(text)
        letters = letters[letters < self.alphabet][None]
        if not letters.numel() or (not self.repeats and len(letters.unique()) < letters.numel()):
            raise ValueError(f"{reprlib.repr(text)}: {'one symbol or more' if self.repeats else 'symbols, each once'}")
        return torch.cat([letters, torch.full_like(letters, self.alphabet)], 1)


class Majority(Running):
    """Which of two symbols has occurred more often? In a tie, the one read last; so both answers are equally likely.

    Args:
        readout: `every`: an answer at each step; `last`: one at the end, where a ? stands.
    """

    def __init__(self, *, readout: Readout = "every"):
        super().__init__(numerals(2), numerals(2), readout)

    @property
    def title(self) -> str:
        return f"the more frequent of two symbols, {self.when}"

    def running(self, letters: Tensor) -> Tensor:
        lead = (2 * letters - 1).cumsum(1)
        return torch.where(lead == 0, letters, (lead > 0).long())

    def oracle(self, inputs: Tensor) -> Tensor:
        """By two counts, symbol by symbol."""
        counts = torch.zeros(len(inputs), 2, dtype=torch.int64)
        last, answers = torch.zeros_like(inputs[:, 0]), []
        for letters in inputs.T:
            for symbol in (0, 1):
                counts[:, symbol] += letters == symbol
            last = letters.where(letters < 2, last)
            more = counts[:, 1] - counts[:, 0]
            answers.append(torch.where(more == 0, last, (more > 0).long()))
        return torch.stack(answers, 1)

    def shortcuts(self) -> Mapping[str, Answering]:
        return {"one answer": always(0), "last symbol": self.last_letter}
