"""The languages over letters: a b c with the ids 3 4 5."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from rule_extrapolation.following import equal_blocks, so_far
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import PAD, Anything, Enclosed, EqualCounts, Even, Ordered, StartsWith, TwiceAsMany

A, B, C = 3, 4, 5


class BaN(Grammar):
    """b, then any string with an even number of a's. All of one length are equally likely.

    >>> BaN().text(BaN().batch(torch.tensor([5]), torch.tensor([[0.9, 0.2, 0.6, 0.7, 0.9]]))[0])
    'babba'
    """

    name, label, paper, language_class = "baN", "L1", "L1", "regular"
    symbols = "ab"
    rule_1, rule_1_description = Even(A), "number of a's is even"
    rule_2, rule_2_description = StartsWith(B), "starts with b"
    rule_2_completion = StartsWith(B)

    def num_uniforms(self, max_length: int) -> int:
        """One per position, although the rules determine the first and the last symbol."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        position = torch.arange(longest, device=lengths.device)
        last = lengths[:, None] - 1
        is_a = (uniforms[:, :longest] < 0.5) & (position > 0) & (position < last)
        is_a |= (position == last) & (is_a.sum(1, keepdim=True) % 2 == 1)
        return torch.where(is_a, A, B).masked_fill_(position > last, PAD)

    def following(self, strings: Tensor) -> Tensor:
        begun = (strings[:, :1] == B).expand_as(strings)
        return torch.stack([begun, begun, begun & ((strings == A).cumsum(1) % 2 == 0)], 2)


class BbaN(Grammar):
    """One b or more, then an even number of a's. All of one length are equally likely.

    >>> BbaN().text(BbaN().batch(torch.tensor([5]), torch.tensor([[0.5]]))[0])  # of bbbbb, bbbaa, baaaa
    'bbbaa'
    """

    name, label, paper, language_class = "bbaN", "L2", "L2", "regular"
    symbols = "ab"
    rule_1, rule_1_description = Even(A), "number of a's is even"
    rule_2, rule_2_description = Ordered((B, A), needs_first=True), "all b's before all a's, at least one b"
    rule_2_completion = Ordered((B, A))

    def num_uniforms(self, max_length: int) -> int:
        """One, for the number of pairs of a's."""
        return 1

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        num_a = 2 * choose(uniforms[:, 0], (lengths + 1) // 2)
        return blocks((B, A), torch.stack([lengths - num_a, num_a], 1), longest)

    def prompt_candidates(self, length: int) -> list[tuple[int, ...]]:
        """Every b^k a^(length-k) with k >= 1, and a before each of them."""
        if length < 1:
            raise ValueError(f"{self.name}: prompt length is {length}, it must be at least 1")
        ordered = [(B,) * k + (A,) * (length - k) for k in range(1, length + 1)]
        return ordered + [(A, *prompt) for prompt in ordered]

    def following(self, strings: Tensor) -> Tensor:
        num_a = (strings == A).cumsum(1)
        fits = so_far((strings == A) | (num_a == 0)) & (strings[:, :1] == B)
        return torch.stack([fits, fits & (num_a == 0), fits & (num_a % 2 == 0)], 2)


class ANBN(Grammar):
    """n a's, then n b's: one string of each even length.

    >>> ANBN().text(ANBN().batch(torch.tensor([6]), torch.empty(1, 0))[0])
    'aaabbb'
    """

    name, label, paper, language_class = "aNbN", "L3", "L3", "context-free"
    symbols = "ab"
    rule_1, rule_1_description = EqualCounts((A, B)), "as many a's as b's"
    rule_2, rule_2_description = Ordered((A, B)), "a's before b's"
    rule_2_completion = rule_2
    length_step = 2

    def num_uniforms(self, max_length: int) -> int:
        """None: the length determines the string."""
        return 0

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        return blocks((A, B), (lengths // 2)[:, None].expand(-1, 2), longest)

    def following(self, strings: Tensor) -> Tensor:
        return equal_blocks(strings, (A, B), len(self.symbols))


class ANBNCN(Grammar):
    """n a's, n b's, n c's: one string of each length that three divides.

    >>> ANBNCN().text(ANBNCN().batch(torch.tensor([6]), torch.empty(1, 0))[0])
    'aabbcc'
    """

    name, label, paper, language_class = "aNbNcN", "L4", "L5", "context-sensitive"
    symbols = "abc"
    rule_1, rule_1_description = EqualCounts((A, B, C)), "as many a's, b's and c's"
    rule_2, rule_2_description = Ordered((A, B, C)), "a's before b's before c's"
    rule_2_completion = rule_2
    prompt_length = 5
    length_step = 3

    def num_uniforms(self, max_length: int) -> int:
        """None: the length determines the string."""
        return 0

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        return blocks((A, B, C), (lengths // 3)[:, None].expand(-1, 3), longest)

    def following(self, strings: Tensor) -> Tensor:
        return equal_blocks(strings, (A, B, C), len(self.symbols))


class AbN(Grammar):
    """As many a's as b's in any order. All of one length are equally likely.

    >>> AbN().text(AbN().batch(torch.tensor([4]), torch.tensor([[0.3, 0.8, 0.9, 0.1]]))[0])  # a's at the two smallest
    'abba'
    """

    name, language_class = "abN", "context-free"
    symbols = "ab"
    rule_1, rule_1_description = EqualCounts((A, B)), "as many a's as b's"
    rule_2, rule_2_description = Anything(), "any order"
    rule_2_completion = rule_2
    length_step = 2

    def num_uniforms(self, max_length: int) -> int:
        """One per position. The positions of the smaller half get an a."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        beyond = torch.arange(longest, device=lengths.device) >= lengths[:, None]
        order = uniforms[:, :longest].masked_fill(beyond, torch.inf).argsort(dim=1, stable=True)
        is_a = order.argsort(dim=1) < lengths[:, None] // 2
        return torch.where(is_a, A, B).masked_fill_(beyond, PAD)

    def following(self, strings: Tensor) -> Tensor:
        always = torch.ones_like(strings, dtype=torch.bool)
        return torch.stack([always, always, (strings == A).cumsum(1) == (strings == B).cumsum(1)], 2)


class ANBM(Grammar):
    """a's, then b's, any number of each, at least one symbol. All of one length are equally likely.

    >>> ANBM().text(ANBM().batch(torch.tensor([3]), torch.tensor([[0.3]]))[0])  # of bbb, abb, aab, aaa
    'abb'
    """

    name, language_class = "aNbM", "regular"
    symbols = "ab"
    rule_1, rule_1_description = Anything(), "any numbers"
    rule_2, rule_2_description = Ordered((A, B)), "a's before b's"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One, for the number of a's."""
        return 1

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        num_a = choose(uniforms[:, 0], lengths + 1)
        return blocks((A, B), torch.stack([num_a, lengths - num_a], 1), longest)

    def following(self, strings: Tensor) -> Tensor:
        begun = (strings == B).cumsum(1) > 0
        fits = so_far((strings == B) | ~begun)
        return torch.stack([fits & ~begun, fits, fits], 2)


class ANBNAN(Grammar):
    """n a's, n b's, n a's: one string of each length that three divides.

    >>> ANBNAN().text(ANBNAN().batch(torch.tensor([6]), torch.empty(1, 0))[0])
    'aabbaa'
    """

    name, language_class = "aNbNaN", "context-sensitive"
    symbols = "ab"
    rule_1, rule_1_description = TwiceAsMany(A, than=B), "twice as many a's as b's"
    rule_2, rule_2_description = Enclosed(A, B), "the b's in one block, with as many a's before it as after it"
    rule_2_completion = Enclosed(A, B, equally=False)
    length_step = 3

    def num_uniforms(self, max_length: int) -> int:
        """None: the length determines the string."""
        return 0

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        return blocks((A, B, A), (lengths // 3)[:, None].expand(-1, 3), longest)

    def following(self, strings: Tensor) -> Tensor:
        return equal_blocks(strings, (A, B, A), len(self.symbols))


def blocks(tokens: Sequence[int], sizes: Tensor, longest: int) -> Tensor:
    """Blocks of equal tokens: sizes (batch, len(tokens)) -> ids (batch, longest), padded with PAD.

    Implemented as a cumulative sum of the id changes at the block ends.

    >>> blocks((A, B), torch.tensor([[1, 2], [2, 0]]), 3).tolist()
    [[3, 4, 4], [3, 3, 2]]
    """
    changes = [following - token for token, following in pairwise((*tokens, PAD))]
    steps = torch.zeros(len(sizes), longest + 1, dtype=torch.int8, device=sizes.device)
    steps[:, 0] = tokens[0]
    steps.scatter_add_(1, sizes.cumsum(1), torch.tensor(changes, device=sizes.device).to(steps).expand(len(sizes), -1))
    return steps[:, :-1].cumsum(1)


def choose(uniforms: Tensor, num_choices: Tensor) -> Tensor:
    """A uniform random integer in [0, num_choices) per row: (batch,), (batch,) -> (batch,) int64.

    The result never reaches num_choices: uniforms are multiples of 2^-53 below 1, and the product is rounded down.
    """
    return (uniforms * num_choices).long()
