"""Rules over strings of token ids. Each rule has two equivalent forms (the tests compare them):

- a predicate over a batch, `rule(strings)`: (batch, time) ids -> (batch,) bool, on any device, without a loop over
  strings;
- an automaton, `start`, `step`, `accepts`: for searching completions of prompts and for exact chance levels.

A rule applies to the tokens before the first EOS; without EOS it applies to the whole row. A string that contains SOS
or PAD satisfies no rule. A rule about some tokens ignores the others, unless its docstring says otherwise.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

SOS, EOS, PAD = 0, 1, 2
FIRST_SYMBOL = 3  # the first id of a content symbol

State = Any  # hashable; each rule has its own


class Rule(ABC):
    """A property of strings that a left-to-right automaton decides.

    A subclass defines `holds`, `start`, `move` and `accepts`. Rules are frozen dataclasses, so they are comparable and
    hashable.
    """

    start: State

    def __call__(self, strings: Tensor) -> Tensor:
        """Which strings satisfy the rule: (batch, time) int64 -> (batch,) bool."""
        # One byte per token makes the rest several times faster. Clamping maps unknown ids to unknown ids.
        content = pad(strings.clamp(-1, 127).to(torch.int8), (0, 1), value=EOS)
        ended = at(content, EOS).cumsum(1, dtype=torch.int32).clamp_(max=1).to(torch.int8)
        content += (EOS - content) * ended
        return ~some(at(content, SOS) | at(content, PAD)) & self.holds(content)

    def step(self, state: State, token: int) -> State | None:
        """The state after one more token, or None if no continuation can satisfy the rule any more."""
        return None if token in (SOS, PAD) else self.move(state, token)

    @abstractmethod
    def holds(self, content: Tensor) -> Tensor:
        """Implements the predicate: content (batch, time) int8 -> (batch,) bool.

        Every position from the first EOS on is EOS, and at least the last one is. The result for a row with SOS or PAD
        is ignored.
        """

    @abstractmethod
    def move(self, state: State, token: int) -> State | None:
        """Implements `step` for a content symbol."""

    @abstractmethod
    def accepts(self, state: State) -> bool:
        """Whether the string that led to `state` satisfies the rule."""

    def needs(self, state: State) -> int:
        """A lower bound on the number of symbols until the rule can accept, equal for all states of a class."""
        return 0

    def equivalence_class(self, state: State) -> Hashable:
        """A key of states with the same probability of success under uniformly drawn tokens.

        States may share a key only if their probabilities are equal for every number of remaining tokens, also when
        combined with rules whose state depends only on token counts. This makes exact chance levels affordable for
        rules with a stack.
        """
        return state


@dataclass(frozen=True)
class Anything(Rule):
    """Accepts every string: the second rule of a language with only one rule."""

    start = ()

    def holds(self, content: Tensor) -> Tensor:
        return torch.ones(len(content), dtype=torch.bool, device=content.device)

    def move(self, state: State, token: int) -> State | None:
        return state

    def accepts(self, state: State) -> bool:
        return True


@dataclass(frozen=True)
class All(Rule):
    """The conjunction of several rules. The state is the tuple of their states."""

    rules: tuple[Rule, ...]

    @property
    def start(self) -> State:
        """The start of each rule."""
        return tuple(rule.start for rule in self.rules)

    def holds(self, content: Tensor) -> Tensor:
        return reduce(and_, [rule.holds(content) for rule in self.rules])

    def move(self, state: State, token: int) -> State | None:
        states = tuple(rule.step(part, token) for rule, part in zip(self.rules, state, strict=True))
        return None if None in states else states

    def accepts(self, state: State) -> bool:
        return all(rule.accepts(part) for rule, part in zip(self.rules, state, strict=True))

    def needs(self, state: State) -> int:
        return max(rule.needs(part) for rule, part in zip(self.rules, state, strict=True))

    def equivalence_class(self, state: State) -> Hashable:
        return tuple(rule.equivalence_class(part) for rule, part in zip(self.rules, state, strict=True))


@dataclass(frozen=True)
class Even(Rule):
    """The token occurs an even number of times (0 is even)."""

    token: int
    start = 0

    def holds(self, content: Tensor) -> Tensor:
        return num_of(content, self.token) % 2 == 0

    def move(self, state: State, token: int) -> State | None:
        return 1 - state if token == self.token else state

    def accepts(self, state: State) -> bool:
        return state == 0


@dataclass(frozen=True)
class StartsWith(Rule):
    """The string is not empty and starts with this token."""

    token: int
    start = False

    def holds(self, content: Tensor) -> Tensor:
        return content[:, 0] == self.token

    def move(self, state: State, token: int) -> State | None:
        return True if state or token == self.token else None

    def accepts(self, state: State) -> bool:
        return state


@dataclass(frozen=True)
class EqualCounts(Rule):
    """The tokens occur equally often, in any order. The state is each token's count minus the smallest count."""

    tokens: tuple[int, ...]

    @property
    def start(self) -> State:
        """No token has occurred."""
        return (0,) * len(self.tokens)

    def holds(self, content: Tensor) -> Tensor:
        first, *others = (num_of(content, token) for token in self.tokens)
        return reduce(and_, [count == first for count in others])

    def move(self, state: State, token: int) -> State | None:
        counts = tuple(count + (token == own) for count, own in zip(state, self.tokens, strict=True))
        return tuple(count - min(counts) for count in counts)

    def accepts(self, state: State) -> bool:
        return not any(state)

    def needs(self, state: State) -> int:
        return len(state) * max(state) - sum(state)


@dataclass(frozen=True)
class TwiceAsMany(Rule):
    """`token` occurs exactly twice as often as `than`. The state is the surplus of `token` (negative: the deficit)."""

    token: int
    than: int
    start = 0

    def holds(self, content: Tensor) -> Tensor:
        return num_of(content, self.token) == 2 * num_of(content, self.than)

    def move(self, state: State, token: int) -> State | None:
        return state + (token == self.token) - 2 * (token == self.than)

    def accepts(self, state: State) -> bool:
        return state == 0


@dataclass(frozen=True)
class Ordered(Rule):
    """Blocks of the tokens in this order and nothing else: all of tokens[0] before all of tokens[1], and so on.

    Blocks may be empty, except the first one if `needs_first`. The state is the current block, or -1 before a required
    first token.
    """

    tokens: tuple[int, ...]
    needs_first: bool = False

    @property
    def start(self) -> State:
        """The first block, or -1 if a first token is required."""
        return -1 if self.needs_first else 0

    def holds(self, content: Tensor) -> Tensor:
        block = torch.zeros_like(content)  # 1, 2 ... for the tokens, then EOS; 0 for others
        for rank, token in enumerate((*self.tokens, EOS), start=1):
            block.add_(at(content, token).view(torch.int8), alpha=rank)
        first = block[:, 0]
        in_order = ~some(block[:, 1:] < block[:, :-1])
        return in_order & (first == 1 if self.needs_first else first > 0)

    def move(self, state: State, token: int) -> State | None:
        if token not in self.tokens:
            return None
        block = self.tokens.index(token)
        possible = block == 0 if state < 0 else block >= state
        return block if possible else None

    def accepts(self, state: State) -> bool:
        return state >= 0


@dataclass(frozen=True)
class Enclosed(Rule):
    """One block of `inner` tokens between `outer` tokens and nothing else, equally many on each side if `equally`.

    With `equally` and without an `inner`, the number of `outer` must be even. The state is (phase, open `outer`
    tokens): (0, i) before, (1, i) within and (2, i) after the inner block; i stays 0 unless `equally`.
    """

    outer: int
    inner: int
    equally: bool = True
    start = (0, 0)

    def holds(self, content: Tensor) -> Tensor:
        is_outer, is_inner = at(content, self.outer), at(content, self.inner)
        num_block_ends = (is_inner[:, :-1] & ~is_inner[:, 1:]).sum(1)
        fits = (num_block_ends <= 1) & ~some(~(is_outer | is_inner | at(content, EOS)))
        if not self.equally:
            return fits
        num_outer = is_outer.sum(1)
        num_before = (is_outer & (is_inner.cumsum(1) == 0)).sum(1)
        return fits & torch.where(num_block_ends > 0, 2 * num_before == num_outer, num_outer % 2 == 0)

    def move(self, state: State, token: int) -> State | None:
        passed, num_open = state
        if token == self.inner:
            return (1, num_open) if passed < 2 else None
        if token != self.outer:
            return None
        if not self.equally:
            return (0 if passed == 0 else 2), 0
        if passed == 0:
            return 0, num_open + 1
        return (2, num_open - 1) if num_open > 0 else None

    def accepts(self, state: State) -> bool:
        passed, num_open = state
        return num_open % 2 == 0 if passed == 0 else num_open == 0


def at(content: Tensor, token: int) -> Tensor:
    """The positions of the token: (batch, time) int8 -> (batch, time) bool.

    Equal to content == token, but much faster on the CPU because input and output have the same item size.
    """
    return torch.eq(content, token, out=torch.empty_like(content)).view(torch.bool)


def num_of(content: Tensor, token: int) -> Tensor:
    """The number of occurrences of the token in each row: (batch, time) -> (batch,)."""
    return at(content, token).sum(1)


def some(mask: Tensor) -> Tensor:
    """mask.any(1), (batch, time) -> (batch,). On the CPU, summing bools is several times faster than any()."""
    return mask.sum(1) > 0
