"""Languages as the public code has them, each with one fault of it (docs/faults.md), for reproduction only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rule_extrapolation.dyck import BRACKETS, PARENTHESES, Dyck, ShuffleDyck
from rule_extrapolation.letters import A, B, BbaN
from rule_extrapolation.rules import PAD, Rule, State, at


@dataclass(frozen=True)
class EvenAfterLast(Rule):
    """The token occurs an even number of times after the last `other`; in the whole string where there is none."""

    token: int
    other: int
    start = 0

    def holds(self, content: Tensor) -> Tensor:
        is_other = at(content, self.other)
        after_last = is_other.flip(1).cumsum(1).flip(1) == 0
        return (at(content, self.token) & after_last).sum(1) % 2 == 0

    def move(self, state: State, token: int) -> State | None:
        if token == self.other:
            return 0
        return 1 - state if token == self.token else state

    def accepts(self, state: State) -> bool:
        return state == 0


class PublishedBbaN(BbaN):
    """L2 with the published rules. The language is the same.

    Rule 1 counts only the a's after the last b, and what is asked of a completion alone is the whole of rule 2, so that
    an empty completion and one of a's alone fail.
    """

    rule_1, rule_1_description = EvenAfterLast(A, B), "number of a's after the last b is even"
    rule_2_completion = BbaN.rule_2


class PrimitiveDyck(Dyck):
    """L5 with the published sampler, which ends a word where its stack is empty for the first time.

    So it yields only words that no closing symbol but the last one completes, and more than a third of them have two
    symbols. The length that is asked for is an upper bound, so the lowest possible loss of these strings is not known,
    and splits that hold words out have none of two symbols for validation and test. Its prompts are ([ or )[ and such
    a word.

    >>> PrimitiveDyck().text(PrimitiveDyck().batch(torch.tensor([8]), torch.tensor([[0.1] + 7 * [0.9]]))[0][:2])
    '()'
    """

    uniform = False

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        """A walk per row: each of what the stack allows, ( and [ and its closing symbol, is equally likely.

        Where just as many symbols are left as are open, it closes.
        """
        strings = torch.full((longest, len(lengths)), PAD, device=lengths.device)
        closers = torch.zeros(longest, len(lengths), dtype=torch.long, device=lengths.device)  # a stack
        height = torch.zeros_like(lengths)
        ended = torch.zeros_like(lengths, dtype=torch.bool)
        for position, uniform in enumerate(uniforms[:, :longest].T.contiguous()):
            empty = height == 0
            third = (3 * uniform).long()  # 0 and 1 open; 2 closes
            closes = ~empty & ((third == 2) | (position + height >= lengths))
            is_parenthesis = torch.where(empty, uniform < 0.5, third == 0)
            opened = torch.where(is_parenthesis, PARENTHESES[1], BRACKETS[1])
            level = torch.where(closes, height - 1, height)[None]
            closing = torch.where(closes, closers.gather(0, level)[0], opened)
            closers.scatter_(0, level, closing[None])
            strings[position] = torch.where(closes, closing, closing - 1).masked_fill(ended, PAD)
            height = torch.where(ended, height, torch.where(closes, height - 1, height + 1))
            ended |= height == 0
        return strings.T.contiguous()

    def strings(self, length: int) -> Tensor:
        """All words of this length that the sampler can yield, (number, length) int64, in id order.

        Raises:
            ValueError: the length is negative, or there are too many candidates.
        """
        return (words := super().strings(length))[is_primitive(words)]


class NestedPromptsShuffleDyck(ShuffleDyck):
    """L6 with the published prompts: ([ or )[ and a word of `PrimitiveDyck`, in which nothing crosses."""

    def prompt_candidates(self, length: int) -> list[tuple[int, ...]]:
        """([w and then )[w for every nested word w of this length that the sampler of L5 can yield.

        Raises:
            ValueError: the length is odd, below 2, or has too many words to try.
        """
        return PrimitiveDyck().prompt_candidates(length)


def is_primitive(words: Tensor) -> Tensor:
    """Which balanced words, (number, length) without PAD, are closed by their last symbol and by none before."""
    opens = (words == PARENTHESES[0]) | (words == BRACKETS[0])
    height = torch.where(opens, 1, -1).cumsum(1)
    return (height[:, :-1] > 0).all(1)
