"""Three things that a program does in a line: add two binary numbers, work a stack, count on.

Addition and the stack are problems of Delétang et al. 2023, "Neural Networks and the Chomsky Hierarchy"; counting on is
one of Zhou et al. 2023, "What Algorithms Can Transformers Learn? A Study in Length Generalization".
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from transduction.problem import MOST_NAMES, Answering, always, below, numerals
from transduction.written import Written


class Addition(Written):
    """Two binary numbers of n digits with + between, the lowest digit first, then n ?: the lowest n digits of the sum.

    So every digit of the sum is equally likely. The length is n.
    """

    def __init__(self):
        super().__init__(("0", "1", "+"), numerals(2))

    @property
    def title(self) -> str:
        return "the sum of two binary numbers, the lowest digit first, without the last carry"

    def num_read(self, length: int) -> int:
        return 2 * length + 1

    def num_written(self, num_read: int) -> int:
        return num_read // 2

    def num_uniforms(self, length: int) -> int:
        return 2 * length

    def strings(self, length: int, uniforms: Tensor) -> Tensor:
        one, other = below(uniforms, 2).split(length, 1)
        return torch.cat([one, torch.full_like(one[:, :1], 2), other], 1)

    def written(self, strings: Tensor) -> Tensor:
        """Digit by digit, with a carry."""
        length = strings.shape[1] // 2
        carry, digits = torch.zeros_like(strings[:, 0]), []
        for place in range(length):
            total = strings[:, place] + strings[:, length + 1 + place] + carry
            digits.append(total % 2)
            carry = total // 2
        return torch.stack(digits, 1)

    def solved(self, string: Sequence[int]) -> Sequence[int]:
        """As whole numbers."""
        length = len(string) // 2
        parts = string[:length], string[length + 1 :]
        one, other = (sum(digit << place for place, digit in enumerate(part)) for part in parts)
        return [(one + other) >> place & 1 for place in range(length)]

    def shortcuts(self) -> Mapping[str, Answering]:
        def without_carry(inputs: Tensor) -> Tensor:
            length = inputs.shape[1] // 3
            one, other = inputs[:, :length], inputs[:, length + 1 : 2 * length + 1]
            return torch.cat([torch.zeros_like(inputs[:, : 2 * length + 1]), (one + other) % 2], 1)

        return {"one answer": always(0), "without carry": without_carry}

    def check(self, string: Sequence[int]) -> None:
        pluses = [place for place, symbol in enumerate(string) if symbol == 2]
        if pluses != [len(string) // 2] or len(string) % 2 == 0 or len(string) < 3:
            raise ValueError("two binary numbers of equally many digits with + between: 1 0 + 1 1")


class Stack(Written):
    """n actions on a stack, then n ?: what is on it, from the top; empty places are _. The length is n.

    0 and 1 are put on the stack, - takes the top away, or nothing from an empty stack. A stack that is there at the
    beginning is one that the first actions make.
    """

    def __init__(self):
        super().__init__(("0", "1", "-"), ("0", "1", "_"))

    @property
    def title(self) -> str:
        return "what is on a stack after puts (0, 1) and takes (-), from the top"

    def num_written(self, num_read: int) -> int:
        return num_read

    def num_uniforms(self, length: int) -> int:
        return length

    def strings(self, length: int, uniforms: Tensor) -> Tensor:
        """Every action is equally likely."""
        return below(uniforms, 3)

    def written(self, strings: Tensor) -> Tensor:
        """With a stack for each string, action by action."""
        stack = torch.full((len(strings), strings.shape[1] + 1), 2)
        height = torch.zeros(len(strings), 1, dtype=torch.int64)
        for action in strings[:, :, None].unbind(1):
            stack.scatter_(1, height, torch.where(action < 2, action, stack.gather(1, height)))
            height = (height + torch.where(action < 2, 1, -1)).clamp(min=0)
        places = height - 1 - torch.arange(strings.shape[1])
        return torch.where(places >= 0, stack.gather(1, places.clamp(min=0)), 2)

    def solved(self, string: Sequence[int]) -> Sequence[int]:
        stack: list[int] = []
        for action in string:
            stack = [action, *stack] if action < 2 else stack[1:]
        return stack + [2] * (len(string) - len(stack))

    def shortcuts(self) -> Mapping[str, Answering]:
        def puts(inputs: Tensor) -> Tensor:
            length = inputs.shape[1] // 2
            return torch.cat([inputs[:, :length].clamp(max=2), inputs[:, :length].flip(1)], 1)

        return {"one answer": always(2), "the actions backwards": puts}


class Counting(Written):
    """n numbers that follow each other, then n ?: the n numbers that come next. After the last number comes 0.

    Args:
        numbers: how many there are.
    """

    def __init__(self, *, numbers: Annotated[int, Ge(2), Le(MOST_NAMES)] = 100):
        self.numbers = numbers
        super().__init__(numerals(numbers), numerals(numbers))

    @property
    def title(self) -> str:
        return f"count on, through {self.numbers} numbers in a ring"

    def num_written(self, num_read: int) -> int:
        return num_read

    def num_uniforms(self, length: int) -> int:
        return 1

    def strings(self, length: int, uniforms: Tensor) -> Tensor:
        """Every beginning is equally likely, so every answer is."""
        return (below(uniforms, self.numbers) + torch.arange(length)) % self.numbers

    def written(self, strings: Tensor) -> Tensor:
        return (strings + strings.shape[1]) % self.numbers

    def solved(self, string: Sequence[int]) -> Sequence[int]:
        """One after another."""
        last, found = string[-1], []
        for _ in string:
            last = 0 if last == self.numbers - 1 else last + 1
            found.append(last)
        return found

    def shortcuts(self) -> Mapping[str, Answering]:
        return {"one answer": always(0), "first number": lambda inputs: inputs[:, :1].expand_as(inputs)}

    def check(self, string: Sequence[int]) -> None:
        for one, after in pairwise(string):
            if after != (one + 1) % self.numbers:
                raise ValueError(f"{one} is not followed by {(one + 1) % self.numbers}: numbers that follow each other")
