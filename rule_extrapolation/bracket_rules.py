"""Rules over two kinds of brackets: which kinds occur, whether each is matched, whether they are nested."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import reduce
from operator import or_

import torch
from torch import Tensor

from rule_extrapolation.rules import EOS, Rule, State, at, some

_BAND = 28  # levels of a stack that fit an int32, with room for one carry and the sign


@dataclass(frozen=True)
class OneKind(Rule):
    """All tokens are of one kind, a kind being a set of tokens. The state holds the kinds that are still possible."""

    kinds: tuple[tuple[int, ...], ...]

    @property
    def start(self) -> State:
        """All kinds."""
        return self.kinds

    def holds(self, content: Tensor) -> Tensor:
        ended = at(content, EOS)
        inside = [reduce(or_, [at(content, token) for token in kind], ended) for kind in self.kinds]
        return reduce(or_, [~some(~mask) for mask in inside])

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
        depth = turns(content, self.open, self.close).cumsum(1, dtype=torch.int32)
        return (depth.amin(1) >= 0) & (depth[:, -1] == 0)

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
        """The stack as the bits of an integer, a bracket being a 1: no loop over time, and exact.

        A bracket pushed at level l adds 2^l, a bracket removed there subtracts it. While all pairs so far match,
        the sum holds just the bits of the stack, so it lies in [0, 2^height). The first removal at level l of a kind
        that does not match leaves it below 0 or at least at 2^l. Levels are taken in bands that fit an int32.
        """
        parenthesis = turns(content, *self.parentheses)
        within = parenthesis.cumsum(1, dtype=torch.int32).clamp_(0, 1).to(torch.int8)
        bracket = turns(content, *self.brackets) * within
        turn = parenthesis + bracket
        height = turn.cumsum(1, dtype=torch.int32)
        level = height - turn.clamp(min=0)
        fits = (height.amin(1) >= 0) & (height[:, -1] == 0)
        for lowest in range(0, content.shape[1] // 2 + 1, _BAND):
            bit = (1 << (level - (lowest - 1)).clamp_(0, _BAND + 1)) >> 1 & (1 << _BAND) - 1  # 0 outside the band
            stack = (bit * bracket).cumsum(1, dtype=torch.int32)
            room = (1 << (height - lowest).clamp_(0, _BAND)) - 1 - stack
            fits &= (stack | room).amin(1) >= 0  # neither is negative anywhere
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

    def equivalence_class(self, state: State) -> Hashable:
        """(parentheses, brackets) in the stack: each level has one token that closes it, whatever its kind, and
        nothing is accepted before all are closed, so the order of the kinds in the stack does not matter."""
        return state.count(self.parentheses[0]), state.count(self.brackets[0])


def turns(content: Tensor, opening: int, closing: int) -> Tensor:
    """1 where something opens, -1 where it closes, else 0: (batch, time) int8 -> (batch, time) int8."""
    return at(content, opening).view(torch.int8) - at(content, closing).view(torch.int8)
