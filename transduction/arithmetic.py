"""Arithmetic modulo a number, on expressions: without brackets, where * comes before + and -, or with all brackets.

Delétang et al. 2023, "Neural Networks and the Chomsky Hierarchy" (modular arithmetic, simple and with brackets).
"""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from transduction.problem import Answering, always, below, joined, numerals
from transduction.written import Written

SIGNS = "+-*()"
PLUS, MINUS, TIMES, OPEN, CLOSE = range(5)  # added to the modulus: their ids


class Arithmetic(Written):
    """An expression of numbers with + - *, then ?: its value. The length counts symbols.

    The last number that is added or subtracted is independent of the rest, so every value is equally likely: without
    brackets the last operation is + or -, with them the outermost one, and one side of it is a number.

    Args:
        modulus: numbers are 0 to modulus - 1.
        brackets: whether each operation stands in brackets; otherwise there are none.
    """

    decisive: Literal["last", "whole"] = "last"  # there is one

    def __init__(self, *, modulus: Annotated[int, Ge(2), Le(100)] = 5, brackets: bool = False):
        self.modulus, self.brackets = modulus, brackets
        super().__init__((*numerals(modulus), *(SIGNS if brackets else SIGNS[:3])), numerals(modulus))

    @property
    def title(self) -> str:
        return f"arithmetic modulo {self.modulus}, {'every operation in brackets' if self.brackets else 'no brackets'}"

    @property
    def shortest(self) -> int:
        return 5 if self.brackets else 3

    def has(self, length: int) -> bool:
        """n numbers have n - 1 operations, with two brackets each."""
        return length % 4 == 1 if self.brackets else length % 2 == 1

    def num_written(self, num_read: int) -> int:
        return 1

    def num_uniforms(self, length: int) -> int:
        return 2 * length - 5 if self.brackets else length

    def strings(self, length: int, uniforms: Tensor) -> Tensor:
        if self.brackets:
            return self._bracketed(length, uniforms)
        numbers, signs = below(uniforms, self.modulus), below(uniforms, 3) + self.modulus
        signs[:, -2] = below(uniforms[:, -2], 2) + self.modulus
        return torch.where(torch.arange(length) % 2 == 0, numbers, signs)

    def _bracketed(self, length: int, uniforms: Tensor) -> Tensor:
        """(E + d) or (d + E), with + or -, a number d, and an expression E of which each shape is equally likely."""
        inner = self._tree(length - 4, uniforms[:, : 2 * (length - 4)])
        left, sign, number = uniforms[:, -3] < 0.5, uniforms[:, -2:-1], uniforms[:, -1:]
        outer = below(sign, 2) + self.modulus, below(number, self.modulus)
        opened, closed = (torch.full_like(outer[0], self.modulus + place) for place in (OPEN, CLOSE))
        first = torch.cat([opened, inner, outer[0], outer[1], closed], 1)
        last = torch.cat([opened, outer[1], outer[0], inner, closed], 1)
        return torch.where(left[:, None], first, last)

    def _tree(self, length: int, uniforms: Tensor) -> Tensor:
        """Expressions of this length, symbol by symbol; uniforms (n, 2 length) for shapes and for symbols.

        The numbers and operations in the order in which they begin make a path: an operation adds one open place, a
        number fills one. An operation comes with the proportion of paths that go on so (the ballot theorem).
        """
        count = len(uniforms)
        left = torch.full((count,), (length + 3) // 4 * 2 - 1)  # numbers and operations to come
        places = torch.ones(count, dtype=torch.int64)  # that they fill
        waiting = torch.zeros(count, length // 4 + 2, dtype=torch.int64)  # a stack: 1 if the right side is to come
        height = torch.zeros(count, 1, dtype=torch.int64)
        done, symbols = torch.zeros(count, dtype=torch.bool), []  # done: an expression has just ended
        for shape, choice in zip(uniforms[:, :length].T, uniforms[:, length:].T, strict=True):
            operations = (left - places) // 2
            chance = ((places + 1) * operations).double() / (places * (left - 1).clamp(min=1))
            begins, right_next = ~done & (shape < chance), done & (waiting.gather(1, height)[:, 0] == 1)
            number = ~done & ~begins
            symbol = torch.where(number, below(choice, self.modulus), self.modulus + CLOSE)
            symbol = torch.where(right_next, self.modulus + below(choice, 3), symbol)
            symbols.append(torch.where(begins, self.modulus + OPEN, symbol))
            left, places = left - (begins | number).long(), places + begins.long() - number.long()
            height += begins.long()[:, None]
            known = waiting.gather(1, height)[:, 0]
            waiting.scatter_(1, height, torch.where(begins, 1, torch.where(right_next, 0, known))[:, None])
            height -= (done & ~right_next).long()[:, None]
            done = ~begins & ~right_next
        return torch.stack(symbols, 1)

    def written(self, strings: Tensor) -> Tensor:
        """With a stack of sums and products, symbol by symbol; brackets need more than one place of it."""
        count, modulus = len(strings), self.modulus
        total = torch.zeros(count, strings.shape[1] // 4 + 2, dtype=torch.int64)  # before the product, at each level
        product = torch.ones_like(total)  # that is not yet added, with its sign
        height = torch.zeros(count, 1, dtype=torch.int64)
        for symbol in strings[:, :, None].unbind(1):
            sums, products = total.gather(1, height), product.gather(1, height)
            opens, closes = symbol == modulus + OPEN, symbol == modulus + CLOSE
            value = torch.where(closes, sums + products, symbol)
            height = height - closes.long()
            given = closes | (symbol < modulus)
            products = torch.where(given, product.gather(1, height) * value % modulus, products)
            adds = (symbol == modulus + PLUS) | (symbol == modulus + MINUS)
            sums = torch.where(adds, (sums + products) % modulus, total.gather(1, height))
            products = torch.where(adds, torch.where(symbol == modulus + PLUS, 1, modulus - 1), products)
            total.scatter_(1, height, sums)
            product.scatter_(1, height, products)
            height = height + opens.long()
            total.scatter_(1, height, torch.where(opens, 0, total.gather(1, height)))
            product.scatter_(1, height, torch.where(opens, 1, product.gather(1, height)))
        return (total[:, :1] + product[:, :1]) % modulus

    def solved(self, string: Sequence[int]) -> Sequence[int]:
        """By rewriting: the value of the first innermost bracket in its place, until a number is left.

        Raises:
            ValueError: it is no expression.
        """
        words = [self.symbols[symbol] for symbol in string]
        while ")" in words:
            end = words.index(")")
            if "(" not in words[:end]:
                raise ValueError("a bracket closes that is not open")
            start = end - words[end::-1].index("(")
            inner = words[start + 1 : end]
            if self.brackets and len(inner) != 3:
                raise ValueError("each operation stands in brackets of its own")
            words[start : end + 1] = [str(self._flat(inner))]
        value = self._flat(words)
        if self.brackets and len(words) > 1:
            raise ValueError("each operation stands in brackets of its own")
        return [value]

    def _flat(self, words: Sequence[str]) -> int:
        """The value without brackets: products, then their sum."""
        numbers, signs = words[::2], words[1::2]
        if len(words) % 2 == 0 or not all(n.isdigit() for n in numbers) or not all(sign in "+-*" for sign in signs):
            raise ValueError("numbers and signs must alternate")
        products = [int(numbers[0])]
        for sign, number in zip(signs, numbers[1:], strict=True):
            if sign == "*":
                products[-1] *= int(number)
            else:
                products.append(int(number) if sign == "+" else -int(number))
        return sum(products) % self.modulus

    def shortcuts(self) -> Mapping[str, Answering]:
        def last(inputs: Tensor) -> Tensor:
            return self._first_number(inputs.flip(1))

        return {"one answer": always(0), "first number": self._first_number, "last number": last}

    def _first_number(self, inputs: Tensor) -> Tensor:
        place = (inputs < self.modulus).long().argmax(1, keepdim=True)
        return inputs.gather(1, place).expand_as(inputs)

    def check(self, string: Sequence[int]) -> None:
        try:
            self.solved(string)
        except ValueError as error:
            example = "((1+2)*3)" if self.brackets else "1+2*3"
            shown = reprlib.repr(joined(self.symbols, string))
            raise ValueError(f"{shown} is no expression: {error}; allowed: such as {example}") from error
