"""The languages over brackets: two kinds nested (Dyck), crossing (shuffled), or only one of them.

Symbols are ( ) [ ] with the ids 3 4 5 6, even if a language uses only one kind. Walks are drawn position by position
for the whole batch. A step's probability is the proportion of strings that continue with it. These proportions have
closed forms, so no table grows with the length and nothing overflows. Sources: the ballot theorem; for the shuffle,
Guy, Krattenthaler and Sagan, "Lattice paths, reflections, and dimension-changing bijections" (Ars Combinatoria 34,
1992).
"""

import math
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

from rule_extrapolation.bracket_rules import Matched, Nested, OneKind
from rule_extrapolation.following import so_far
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import PAD, All

PARENTHESES, BRACKETS = (3, 4), (5, 6)


class BracketGrammar(Grammar):
    """Base class of the languages over brackets: four symbols and even lengths."""

    symbols = "()[]"
    length_step = 2
    prompt_length = 4

    def lengths(self, max_length: int) -> Tensor:
        """The even lengths up to `max_length`.

        Raises:
            ValueError: max_length is odd or below 2.
        """
        if max_length % 2 or max_length < 2:
            raise ValueError(f"{self.name}: max_length is {max_length}, it must be even and at least 2")
        return super().lengths(max_length)


class PrefixedBrackets(BracketGrammar):
    """Brackets of both kinds. Test prompts are ([ or )[, followed by a word of the language."""

    completion_start = 2
    prompt_length = 6

    def prompt_candidates(self, length: int) -> list[tuple[int, ...]]:
        """([w and then )[w for every word w of this length.

        Raises:
            ValueError: the length is odd, below 2, or has too many words to try.
        """
        if length % 2 or length < 2:
            raise ValueError(f"{self.name}: word length is {length}, it must be even and at least 2")
        words = self.strings(length).tolist()
        return [(first, BRACKETS[0], *word) for first in PARENTHESES for word in words]


class Dyck(PrefixedBrackets):
    """Two kinds of brackets, matched and nested. All of one length are equally likely.

    >>> Dyck().text(Dyck().batch(torch.tensor([6]), torch.tensor([[0.1, 0.4, 0.8, 0.9, 0.7, 0.2]]))[0])
    '([])[]'
    """

    name, label, paper, language_class = "dyck", "L5", "L4", "context-free"
    rule_1, rule_1_description = Matched(*BRACKETS), "brackets are matched"
    rule_2 = Nested(PARENTHESES, BRACKETS)
    rule_2_description = "parentheses are matched, and inside each pair of them brackets balance"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One per position, for whether to open and which kind."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        strings = torch.empty(longest, len(lengths), dtype=torch.long, device=lengths.device)
        height = torch.zeros_like(lengths)
        closers = torch.zeros(longest // 2, len(lengths), dtype=torch.long, device=lengths.device)  # a stack
        for position, uniform in enumerate(uniforms[:, :longest].T.contiguous()):
            remaining = lengths - position
            probability = opening_probability(height, remaining)
            is_open = uniform < probability
            opened = torch.where(2 * uniform < probability, PARENTHESES[1], BRACKETS[1])  # half for each kind
            level = torch.where(is_open, height, height - 1)[None]
            closing = torch.where(is_open, opened, closers.gather(0, level)[0])
            closers.scatter_(0, level, closing[None])
            height = torch.where(is_open, height + 1, height - 1)
            strings[position] = (closing - is_open.long()).masked_fill_(remaining <= 0, PAD)
        return strings.T.contiguous()

    def following(self, strings: Tensor) -> Tensor:
        """With a stack of closing symbols, symbol by symbol."""
        steps, height = [], torch.zeros(len(strings), 1, dtype=torch.long)
        closers = torch.zeros(len(strings), strings.shape[1] + 2, dtype=torch.long)  # place 0 is below the stack
        fits = torch.ones(len(strings), 1, dtype=torch.bool)
        closing = torch.tensor([PARENTHESES[1], BRACKETS[1]])
        for symbol in strings[:, :, None].unbind(1):
            is_open = (symbol == PARENTHESES[0]) | (symbol == BRACKETS[0])
            fits = fits & (is_open | (closers.gather(1, height) == symbol))
            height = (height + torch.where(is_open, 1, -1)).clamp(min=0)
            top = closers.gather(1, height)
            closers.scatter_(1, height, torch.where(is_open & fits, symbol + 1, top))
            close = closers.gather(1, height) == closing
            steps.append(fits & torch.stack([fits[:, 0], close[:, 0], fits[:, 0], close[:, 1], height[:, 0] == 0], 1))
        return torch.stack(steps, 1)


class ShuffleDyck(PrefixedBrackets):
    """Two kinds of brackets, each matched, which may cross. All of one length are equally likely.

    >>> ShuffleDyck().text(ShuffleDyck().batch(torch.tensor([4]), torch.tensor([[0.5, 0.4, 0.9, 0.4, 0.5]]))[0])
    '([)]'
    """

    name, label, paper, language_class = "shuffle_dyck", "L6", "L6", "context-sensitive"
    rule_1, rule_1_description = Matched(*BRACKETS), "brackets are matched"
    rule_2, rule_2_description = Matched(*PARENTHESES), "parentheses are matched, crossing allowed"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One for the number of parentheses, then one per position for the kind and whether to open."""
        return 1 + max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        cumulative = cumulative_parentheses(longest // 2).to(lengths.device)[lengths // 2]
        pairs = torch.searchsorted(cumulative, uniforms[:, :1].contiguous(), right=True)[:, 0]
        return shuffled_walks(2 * pairs, lengths, uniforms[:, 1 : 1 + longest], longest)

    def following(self, strings: Tensor) -> Tensor:
        return shuffled_following(strings)


class Parentheses(BracketGrammar):
    """Matched parentheses alone. All of one length are equally likely.

    >>> Parentheses().text(Parentheses().batch(torch.tensor([4]), torch.tensor([[0.5, 0.9, 0.5, 0.5]]))[0])
    '()()'
    """

    name, language_class = "parentheses", "context-free"
    rule_1, rule_1_description = Matched(*PARENTHESES), "parentheses are matched"
    rule_2, rule_2_description = OneKind((PARENTHESES,)), "no brackets"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One per position, for whether to open."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        return shuffled_walks(lengths, lengths, uniforms[:, :longest], longest)

    def following(self, strings: Tensor) -> Tensor:
        only = so_far((strings == PARENTHESES[0]) | (strings == PARENTHESES[1]))
        return shuffled_following(strings) & only[:, :, None] & torch.tensor([True, True, False, False, True])


class Brackets(BracketGrammar):
    """Matched brackets alone. All of one length are equally likely.

    >>> Brackets().text(Brackets().batch(torch.tensor([4]), torch.tensor([[0.5, 0.1, 0.5, 0.5]]))[0])
    '[[]]'
    """

    name, language_class = "brackets", "context-free"
    rule_1, rule_1_description = Matched(*BRACKETS), "brackets are matched"
    rule_2, rule_2_description = OneKind((BRACKETS,)), "no parentheses"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One per position, for whether to open."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        return shuffled_walks(torch.zeros_like(lengths), lengths, uniforms[:, :longest], longest)

    def following(self, strings: Tensor) -> Tensor:
        only = so_far((strings == BRACKETS[0]) | (strings == BRACKETS[1]))
        return shuffled_following(strings) & only[:, :, None] & torch.tensor([False, False, True, True, True])


class Separated(BracketGrammar):
    """Matched parentheses alone or matched brackets alone. All of one length are equally likely.

    >>> Separated().text(Separated().batch(torch.tensor([4]), torch.tensor([[0.7, 0.5, 0.1, 0.5, 0.5]]))[0])
    '[[]]'
    """

    name, language_class = "separated", "context-free"
    rule_1 = All((Matched(*PARENTHESES), Matched(*BRACKETS)))
    rule_1_description = "parentheses are matched and brackets are matched"
    rule_2, rule_2_description = OneKind((PARENTHESES, BRACKETS)), "only parentheses or only brackets"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One for the kind, then one per position for whether to open."""
        return 1 + max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        num_parentheses = torch.where(uniforms[:, 0] < 0.5, lengths, 0)
        return shuffled_walks(num_parentheses, lengths, uniforms[:, 1 : 1 + longest], longest)

    def following(self, strings: Tensor) -> Tensor:
        round_ones, square = (so_far((strings == kind[0]) | (strings == kind[1])) for kind in (PARENTHESES, BRACKETS))
        either = torch.stack([round_ones, round_ones, square, square, round_ones | square], 2)
        return shuffled_following(strings) & either


def shuffled_following(strings: Tensor) -> Tensor:
    """What may follow where each kind is matched and the kinds may cross: (batch, time) -> (batch, time, 5) bool."""
    heights = [
        ((strings == kind[0]).long() - (strings == kind[1]).long()).cumsum(1) for kind in (PARENTHESES, BRACKETS)
    ]
    fits = so_far((heights[0] >= 0) & (heights[1] >= 0))
    ended = (heights[0] == 0) & (heights[1] == 0)
    return fits[:, :, None] & torch.stack([fits, heights[0] > 0, fits, heights[1] > 0, ended], 2)


def opening_probability(height: Tensor, remaining: Tensor) -> Tensor:
    """The probability that the next step goes up, (batch,), (batch,) int64 -> (batch,) float64.

    It is the proportion of such paths from `height` to 0 in `remaining` steps that never go below 0: by the ballot
    theorem (r - h) (h + 2) / (2 r (h + 1)), exactly 1 at h = 0 and 0 at h = r. Meaningless for `remaining` below 1.
    """
    remaining = remaining.clamp(min=1)
    return ((remaining - height) * (height + 2)).double() / (2 * remaining * (height + 1))


@cache
def cumulative_parentheses(most_pairs: int) -> Tensor:
    """The cumulative distribution of the number of parenthesis pairs in shuffled words, one row per word length.

    Entry (m, k) is the proportion of words of m pairs that have at most k pairs of parentheses, float64
    (most_pairs + 1, most_pairs + 1). A word is a choice of the parentheses' positions and a matched word of each
    kind: binomial(2m, 2k) Catalan(k) Catalan(m - k) words, counted as exact integers before the division.
    """
    catalan = [math.comb(2 * n, n) // (n + 1) for n in range(most_pairs + 1)]
    table = torch.ones(most_pairs + 1, most_pairs + 1, dtype=torch.float64)
    for m in range(most_pairs + 1):
        counts = list(accumulate(math.comb(2 * m, 2 * k) * catalan[k] * catalan[m - k] for k in range(m + 1)))
        table[m, : m + 1] = torch.tensor([count / counts[-1] for count in counts], dtype=torch.float64)
    return table


def shuffled_walks(num_parentheses: Tensor, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
    """Uniform random words with a given number of parentheses; the other symbols are brackets.

    Args:
        num_parentheses: (batch,) int64, even, at most lengths.
        lengths: (batch,) int64, even.
        uniforms: (batch, longest) float64. Each decides a position's kind, and its remainder whether to open.

    Returns:
        Ids (batch, longest), padded with PAD.
    """
    strings = torch.empty(longest, len(lengths), dtype=torch.long, device=lengths.device)
    remaining = torch.stack([num_parentheses, lengths - num_parentheses])
    height = torch.zeros_like(remaining)
    for position, uniform in enumerate(uniforms.T.contiguous()):
        proportion = remaining[0].double() / remaining.sum(0).clamp_(min=1)
        is_parenthesis = uniform < proportion
        rest = torch.where(is_parenthesis, uniform / proportion, (uniform - proportion) / (1 - proportion))
        kind = (~is_parenthesis).long()[None]
        own_height = height.gather(0, kind)[0]
        # Rounding can give rest = 1. That would not open at height 0, where the probability of opening is 1.
        is_open = (rest < opening_probability(own_height, remaining.gather(0, kind)[0])) | (own_height == 0)
        opened = torch.where(is_parenthesis, PARENTHESES[0], BRACKETS[0])
        strings[position] = torch.where(is_open, opened, opened + 1).masked_fill_(position >= lengths, PAD)
        height.scatter_add_(0, kind, torch.where(is_open, 1, -1)[None])
        remaining.scatter_add_(0, kind, torch.full_like(kind, -1))
    return strings.T.contiguous()
