"""The flip-flop language: remember the bit that was written last, whatever else comes by.

Liu et al. 2023, "Exposing Attention Glitches with Flip-Flop Language Modeling".
"""

import reprlib
from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from transduction.problem import Answering, Drawn, Problem, always

WRITE, IGNORE, READ = 2, 3, 4


class FlipFlop(Problem):
    """Pairs of an instruction and a bit: w writes the bit, i is to be ignored, after r the bit that was written last
    stands. The first instruction is w; the last one is r, and its bit is the answer. The length is the number of pairs.

    Args:
        ignored: the probability of i between them, as FFL(0.8) in the paper; w and r share the rest.
    """

    def __init__(self, *, ignored: Annotated[float, Ge(0), Le(1)] = 0.8):
        self.ignored = ignored
        self.symbols, self.answers = ("0", "1", "w", "i", "r"), ("0", "1")

    @property
    def title(self) -> str:
        return f"flip-flop, {self.ignored:.0%} of instructions to be ignored: the bit that was written last, at the end"

    @property
    def shortest(self) -> int:
        return 2

    def steps(self, length: int) -> int:
        return 2 * length - 1

    def num_uniforms(self, length: int) -> int:
        return 2 * length

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        """Bits are fair, so both answers are equally likely."""
        chance, bits = uniforms[:, :length], (uniforms[:, length:] < 0.5).long()
        orders = torch.where(chance < self.ignored, IGNORE, torch.where(2 * chance < 1 + self.ignored, WRITE, READ))
        orders[:, 0], orders[:, -1] = WRITE, READ
        places = torch.arange(length)
        written = torch.where(orders == WRITE, places, 0).cummax(1).values  # where the last one was written
        held = bits.gather(1, written)
        shown = torch.where(orders == READ, held, bits)
        inputs = torch.stack([orders, shown], 2).flatten(1)[:, :-1]
        return Drawn(inputs, held[:, -1:].expand_as(inputs).clone(), self.due(inputs))

    def due(self, inputs: Tensor) -> Tensor:
        return (torch.arange(inputs.shape[1]) == inputs.shape[1] - 1).expand_as(inputs)

    def oracle(self, inputs: Tensor) -> Tensor:
        """Symbol by symbol."""
        bit, writing, answers = torch.zeros_like(inputs[:, 0]), torch.zeros(len(inputs), dtype=torch.bool), []
        for symbols in inputs.T:
            bit = torch.where(writing & (symbols < WRITE), symbols, bit)
            writing = symbols == WRITE
            answers.append(bit)
        return torch.stack(answers, 1)

    def shortcuts(self) -> Mapping[str, Answering]:
        return {
            "one answer": always(0),
            "first bit": lambda inputs: inputs[:, 1:2].expand_as(inputs),
            "last bit": lambda inputs: inputs[:, -2:-1].expand_as(inputs),
        }

    def parse(self, text: str) -> Tensor:
        """Parse pairs and a last r, such as w 1 i 0 r.

        Raises:
            ValueError: a word is not a symbol, the string is not such pairs, or a bit after r is not the written one.
        """
        inputs = super().parse(text)
        orders, bits = inputs[0, ::2], inputs[0, 1::2]
        if (
            (orders < WRITE).any()
            or (bits >= WRITE).any()
            or len(orders) != len(bits) + 1
            or orders[0] != WRITE
            or orders[-1] != READ
        ):
            raise ValueError(
                f"{reprlib.repr(text)}: pairs of w, i or r and a bit, first w, and r at the end: w 1 i 0 r"
            )
        written = self.oracle(inputs)[0, 1::2]
        if (bits != written[: len(bits)])[orders[:-1] == READ].any():
            raise ValueError(f"{reprlib.repr(text)}: after r stands the bit that was written last")
        return inputs
