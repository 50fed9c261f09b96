"""Brackets of several kinds that match and nest, to a depth at most: Dyck-(k, m)."""

from collections.abc import Sequence
from string import ascii_lowercase

import torch
from torch import Tensor

from transduction.languages import After, Language
from transduction.paths import Paths


class BoundedDyck(Language):
    """Dyck-(k, m) (Hewitt et al. 2020). Its automaton has k^m states and more, so it is read with a stack.

    The letters a, b, ... open, A, B, ... close: letter 2 i opens kind i, letter 2 i + 1 closes it.

    Args:
        kinds: of brackets, k, at most 26.
        depth: of nesting at most, m.
    """

    def __init__(self, kinds: int, depth: int):
        self.kinds, self.depth, self.name = kinds, depth, f"Dyck-({kinds},{depth})"
        self.letters = tuple(sign for kind in ascii_lowercase[:kinds] for sign in (kind, kind.upper()))
        lost = depth + 1  # states are depths; letter 0 opens, letter 1 closes
        moves = [[level + 1, level - 1 if level else lost] for level in range(depth + 1)] + [[lost, lost]]
        self.depths = Paths(moves, [True] + [False] * lost, weights=[kinds, 1])

    def has_members(self, length: int) -> bool:
        return length % 2 == 0

    def num_uniforms(self, length: int) -> int:
        return 2 * length

    def members(self, length: int, uniforms: Tensor) -> Tensor:
        """The depths by counting, then a kind for each bracket that opens."""
        turns, levels = self.depths.draw(length, uniforms[:, :length])
        opened = (uniforms[:, length:] * self.kinds).long()
        stack = torch.zeros(len(uniforms), self.depth + 2, dtype=torch.int64)
        letters = []
        for turn, level, kind in zip(turns.T, levels.T, opened.T, strict=True):
            opens, place = turn == 0, (level + turn - 1)[:, None]  # of the bracket that opens or closes
            kind = torch.where(opens, kind, stack.gather(1, place)[:, 0])
            stack.scatter_(1, place, kind[:, None])
            letters.append(2 * kind + turn)
        return torch.stack(letters, 1)

    def following(self, strings: Tensor) -> Tensor:
        level = torch.zeros(len(strings), 1, dtype=torch.int64)
        lost = torch.zeros(len(strings), dtype=torch.bool)
        stack = torch.full((len(strings), self.depth + 1), -1)  # place 0 is below the stack
        found = torch.zeros(len(strings), strings.shape[1], 2 * self.kinds + 1, dtype=torch.bool)
        kinds = torch.arange(self.kinds)
        for step, letter in enumerate(strings.T):
            opens, kind = letter % 2 == 0, letter // 2
            top = stack.gather(1, level)[:, 0]
            lost |= torch.where(opens, level[:, 0] == self.depth, top != kind)
            level = (level + torch.where(opens, 1, -1)[:, None]).clamp(0, self.depth)
            stack = torch.where((opens & ~lost)[:, None], stack.scatter(1, level, kind[:, None]), stack)
            found[:, step, :-1:2] = level < self.depth
            found[:, step, 1::2] = kinds == stack.gather(1, level)
            found[:, step, -1] = level[:, 0] == 0
            found[lost, step] = False
        return found

    def read(self, string: Sequence[int]) -> list[After]:
        stack: list[int] | None = []
        found = []
        opening, end = frozenset(range(0, 2 * self.kinds, 2)), 2 * self.kinds
        for letter in string:
            if stack is not None and letter % 2 == 0:
                stack = [*stack, letter] if len(stack) < self.depth else None
            elif stack is not None:
                stack = stack[:-1] if stack and stack[-1] == letter - 1 else None
            if stack is None:
                found.append(After(False, frozenset()))
            else:
                after = {stack[-1] + 1} if stack else {end}
                found.append(After(not stack, frozenset(after | (opening if len(stack) < self.depth else set()))))
        return found
