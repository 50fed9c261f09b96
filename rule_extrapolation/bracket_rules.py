"""Rules over two kinds of brackets: which kinds occur, whether each kind is matched, whether the kinds are nested."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import reduce
from operator import or_

import torch
from torch import Tensor

from rule_extrapolation.rules import EOS, Rule, State, at, some

_BAND = 28  # stack levels that fit in an int32, leaving room for one carry and the sign


@dataclass(frozen=True)
class OneKind(Rule):
    """All tokens belong to one kind; a kind is a set of tokens. The state holds the kinds that are still possible."""

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
    """Each `open` has a matching `close` after it. Other tokens may occur anywhere. The state is the current depth."""

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

    Brackets outside all parentheses are unconstrained. Combined with matched brackets, this rule gives the Dyck
    language of two kinds. Other tokens may occur anywhere. The state is the stack of open symbols from the outermost
    unclosed parenthesis inwards; it omits brackets outside all parentheses.
    """

    parentheses: tuple[int, int]
    brackets: tuple[int, int]
    start = ()

    def holds(self, content: Tensor) -> Tensor:
        """Encodes the stack as the bits of an integer, with a 1 for a bracket: exact, and without a loop over time.

        Pushing a bracket at level l adds 2^l, popping one there subtracts 2^l. While all pairs match, the sum holds
        exactly the bits of the stack, so it is in [0, 2^height). The first pop at level l of the wrong kind makes it
        negative or at least 2^l. Levels are processed in bands that fit in an int32.
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
        """(number of parentheses, number of brackets) in the stack.

        Exactly one token closes each level, and the rule accepts only an empty stack. So the order of the kinds in the
        stack does not matter.
        """
        return state.count(self.parentheses[0]), state.count(self.brackets[0])


def turns(content: Tensor, opening: int, closing: int) -> Tensor:
    """1 where something opens, -1 where it closes, else 0: (batch, time) int8 -> (batch, time) int8."""
    return at(content, opening).view(torch.int8) - at(content, closing).view(torch.int8)
