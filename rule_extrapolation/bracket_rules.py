"""Rules over two kinds of brackets: which kinds occur, whether each is matched, whether they are nested."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import reduce
from operator import or_

import torch
from torch import Tensor

from rule_extrapolation.rules import EOS, Rule, State, every

_STACK_BITS = 60  # levels of a stack that fit an int64, with room for one carry and the sign


@dataclass(frozen=True)
class OneKind(Rule):
    """All tokens are of one kind, a kind being a set of tokens. The state holds the kinds that are still possible."""

    kinds: tuple[tuple[int, ...], ...]

    @property
    def start(self) -> State:
        return self.kinds

    def holds(self, content: Tensor) -> Tensor:
        ended = content == EOS
        masks = [reduce(or_, [content == token for token in kind], ended) for kind in self.kinds]
        return reduce(or_, [every(mask) for mask in masks])

    def move(self, state: State, token: int) -> State | None:
        return tuple(kind for kind in state if token in kind) or None

    def accepts(self, state: State) -> bool:
        return True


@dataclass(frozen=True)
class Matched(Rule):
    """Each `open` has its `close` after it; other tokens may stand anywhere. The state is the number that are open."""

    open: int
    close: int
    start = 0

    def holds(self, content: Tensor) -> Tensor:
        turn = (content == self.open).long() - (content == self.close).long()
        return (turn.sum(1) == 0) & every(turn.cumsum(1) >= 0)

    def move(self, state: State, token: int) -> State | None:
        depth = state + (token == self.open) - (token == self.close)
        return depth if depth >= 0 else None

    def accepts(self, state: State) -> bool:
        return state == 0

    def needs(self, state: State) -> int:
        return state


@dataclass(frozen=True)
class Nested(Rule):
    """Every parenthesis is matched, and inside each pair of parentheses the brackets balance.

    A bracket outside all parentheses is free. Together with matched brackets this is the Dyck language of two
    kinds. Other tokens may stand anywhere. The state is the stack of what is open, from the outermost unclosed
    parenthesis inwards: brackets outside are not recorded.
    """

    parentheses: tuple[int, int]
    brackets: tuple[int, int]
    start = ()

    def holds(self, content: Tensor) -> Tensor:
        """The stack as bits of an integer, a bracket being a 1: no loop over time, and exact.

        A token pushed at level l adds bit * 2^l and its removal subtracts as much. While all pairs so far match,
        the sum holds just the bits of the stack, so after a removal at level l it lies in [0, 2^l); the first
        pair that does not match leaves it below 0 or at least at 2^l. Levels are taken in bands that fit an int64.
        """
        parenthesis_turn = (content == self.parentheses[0]).long() - (content == self.parentheses[1]).long()
        inside = parenthesis_turn.cumsum(1) > 0
        bracket_turn = ((content == self.brackets[0]) & inside).long() - ((content == self.brackets[1]) & inside).long()
        turn = parenthesis_turn + bracket_turn
        height = turn.cumsum(1)
        level = torch.minimum(height, height - turn)  # between the heights before and after the token
        fits = (turn.sum(1) == 0) & every(height >= 0)
        for lowest in range(0, content.shape[1] // 2 + 1, _STACK_BITS):
            in_band = (level >= lowest) & (level < lowest + _STACK_BITS)
            bit = in_band.long() << (level - lowest).clamp_(0, _STACK_BITS)
            stack = (bracket_turn * bit).cumsum(1)
            fits &= every((turn >= 0) | ~in_band | ((stack >= 0) & (stack < bit)))
        return fits

    def move(self, state: State, token: int) -> State | None:
        if token == self.parentheses[0] or (token == self.brackets[0] and state):
            return (*state, token)
        if token == self.parentheses[1] or (token == self.brackets[1] and state):
            opening = self.parentheses[0] if token == self.parentheses[1] else self.brackets[0]
            return state[:-1] if state and state[-1] == opening else None
        return state

    def accepts(self, state: State) -> bool:
        return not state

    def needs(self, state: State) -> int:
        return len(state)

    def lump(self, state: State) -> Hashable:
        """(parentheses, brackets) in the stack: each level has one token that closes it, whatever its kind, and
        nothing is accepted before all are closed, so the order of the kinds in the stack does not matter."""
        return state.count(self.parentheses[0]), state.count(self.brackets[0])
