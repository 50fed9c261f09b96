"""Selective copying: write the symbols between blanks, in order.

Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces"; Poli et al. 2024, "Mechanistic
Design and Scaling of Hybrid Architectures".
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from transduction.problem import MOST_NAMES, Answering, always, below, numerals
from transduction.written import Written


class SelectiveCopy(Written):
    """Some symbols among blanks, then as many ?: the symbols in order. The length counts symbols and blanks.

    Args:
        number: of symbols in a string, so the shortest one has no blank.
        alphabet: number of different symbols.
    """

    def __init__(
        self, *, number: Annotated[int, Ge(1), Le(MOST_NAMES)] = 8, alphabet: Annotated[int, Ge(2), Le(MOST_NAMES)] = 8
    ):
        super().__init__((*numerals(alphabet), "_"), numerals(alphabet))
        self.number, self.blank = number, alphabet

    @property
    def title(self) -> str:
        return f"copy the {self.number} symbols between blanks, {self.blank} different ones"

    @property
    def shortest(self) -> int:
        return self.number

    def num_written(self, num_read: int) -> int:
        return self.number

    def num_uniforms(self, length: int) -> int:
        return length + self.number

    def strings(self, length: int, uniforms: Tensor) -> Tensor:
        """Every choice of places and every choice of symbols are equally likely."""
        places = uniforms[:, :length].argsort(1)[:, : self.number]
        symbols = below(uniforms[:, length:], self.blank)
        return torch.full((len(uniforms), length), self.blank).scatter(1, places, symbols)

    def written(self, strings: Tensor) -> Tensor:
        places = (strings == self.blank).long().argsort(dim=1, stable=True)  # those of symbols come first, in order
        return strings.gather(1, places[:, : self.number])

    def solved(self, string: Sequence[int]) -> Sequence[int]:
        return [symbol for symbol in string if symbol != self.blank]

    def shortcuts(self) -> Mapping[str, Answering]:
        def first(inputs: Tensor) -> Tensor:
            places = (inputs >= self.blank).long().argsort(dim=1, stable=True)
            return inputs.gather(1, places[:, :1]).expand_as(inputs)

        return {"one answer": always(0), "first symbol": first}

    def check(self, string: Sequence[int]) -> None:
        if len(self.solved(string)) != self.number:
            raise ValueError(f"{len(self.solved(string))} symbols beside the blanks _; allowed: {self.number}")
