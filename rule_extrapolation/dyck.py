"""The languages over brackets: two kinds nested (Dyck), crossing (shuffled), or only one of them.

Symbols are ( ) [ ] with the ids 3 4 5 6, also where a language uses but one kind. Walks are drawn position by
position over the batch, each step with the share of the strings that go on with it; the shares have closed forms, so
no table grows with the length and nothing overflows. Sources: the ballot theorem; for the shuffle, Guy, Krattenthaler
and Sagan, "Lattice paths, reflections, and dimension-changing bijections" (Ars Combinatoria 34, 1992).
"""

import math
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

from rule_extrapolation.bracket_rules import Matched, Nested, OneKind
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import PAD, All

PARENTHESES, BRACKETS = (3, 4), (5, 6)


class BracketGrammar(Grammar):
    """What the languages over brackets share: four symbols and even lengths."""

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
    """Brackets of both kinds, tested with a word of the language behind two opening or two misplaced ones."""

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

    >>> Dyck().text(Dyck().sample(torch.tensor([6]), torch.tensor([[0.1, 0.4, 0.8, 0.9, 0.7, 0.2]]))[0])
    '([])[]'
    """

    name, label, paper, language_class = "dyck", "L5", "L4", "context-free"
    rule_1, rule_1_description = Matched(*BRACKETS), "brackets are matched"
    rule_2 = Nested(PARENTHESES, BRACKETS)
    rule_2_description = "parentheses are matched, and inside each pair of them brackets balance"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One a position: whether to open, and what."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        strings = torch.empty(longest, len(lengths), dtype=torch.long, device=lengths.device)
        height = torch.zeros_like(lengths)
        stack = torch.zeros(longest // 2, len(lengths), dtype=torch.long, device=lengths.device)  # of closing tokens
        for position, uniform in enumerate(uniforms[:, :longest].T.contiguous()):
            remaining = lengths - position
            share = opening_share(height, remaining)
            is_open = uniform < share
            opened = torch.where(2 * uniform < share, PARENTHESES[1], BRACKETS[1])  # half of the share for each kind
            level = torch.where(is_open, height, height - 1)[None]
            closing = torch.where(is_open, opened, stack.gather(0, level)[0])
            stack.scatter_(0, level, closing[None])
            height = torch.where(is_open, height + 1, height - 1)
            strings[position] = (closing - is_open.long()).masked_fill_(remaining <= 0, PAD)
        return strings.T.contiguous()


class ShuffleDyck(PrefixedBrackets):
    """Two kinds of brackets, each matched, which may cross. All of one length are equally likely.

    >>> ShuffleDyck().text(ShuffleDyck().sample(torch.tensor([4]), torch.tensor([[0.5, 0.4, 0.9, 0.4, 0.5]]))[0])
    '([)]'
    """

    name, label, paper, language_class = "shuffle_dyck", "L6", "L6", "context-sensitive"
    rule_1, rule_1_description = Matched(*BRACKETS), "brackets are matched"
    rule_2, rule_2_description = Matched(*PARENTHESES), "parentheses are matched, crossing allowed"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One for the number of parentheses and one a position: which kind, and whether to open."""
        return 1 + max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        cumulative = cumulative_parentheses(longest // 2).to(lengths.device)[lengths // 2]
        pairs = torch.searchsorted(cumulative, uniforms[:, :1].contiguous(), right=True)[:, 0]
        return shuffled_walks(2 * pairs, lengths, uniforms[:, 1 : 1 + longest], longest)


class Parentheses(BracketGrammar):
    """Matched parentheses alone. All of one length are equally likely.

    >>> Parentheses().text(Parentheses().sample(torch.tensor([4]), torch.tensor([[0.5, 0.9, 0.5, 0.5]]))[0])
    '()()'
    """

    name, language_class = "parentheses", "context-free"
    rule_1, rule_1_description = Matched(*PARENTHESES), "parentheses are matched"
    rule_2, rule_2_description = OneKind((PARENTHESES,)), "no brackets"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One a position: whether to open."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        return shuffled_walks(lengths, lengths, uniforms[:, :longest], longest)


class Brackets(BracketGrammar):
    """Matched brackets alone. All of one length are equally likely.

    >>> Brackets().text(Brackets().sample(torch.tensor([4]), torch.tensor([[0.5, 0.1, 0.5, 0.5]]))[0])
    '[[]]'
    """

    name, language_class = "brackets", "context-free"
    rule_1, rule_1_description = Matched(*BRACKETS), "brackets are matched"
    rule_2, rule_2_description = OneKind((BRACKETS,)), "no parentheses"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One a position: whether to open."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        return shuffled_walks(torch.zeros_like(lengths), lengths, uniforms[:, :longest], longest)


class Separated(BracketGrammar):
    """Matched parentheses alone or matched brackets alone. All of one length are equally likely.

    >>> Separated().text(Separated().sample(torch.tensor([4]), torch.tensor([[0.7, 0.5, 0.1, 0.5, 0.5]]))[0])
    '[[]]'
    """

    name, language_class = "separated", "context-free"
    rule_1 = All((Matched(*PARENTHESES), Matched(*BRACKETS)))
    rule_1_description = "parentheses are matched and brackets are matched"
    rule_2, rule_2_description = OneKind((PARENTHESES, BRACKETS)), "only parentheses or only brackets"
    rule_2_completion = rule_2

    def num_uniforms(self, max_length: int) -> int:
        """One for the kind and one a position: whether to open."""
        return 1 + max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        num_parentheses = torch.where(uniforms[:, 0] < 0.5, lengths, 0)
        return shuffled_walks(num_parentheses, lengths, uniforms[:, 1 : 1 + longest], longest)


def opening_share(height: Tensor, remaining: Tensor) -> Tensor:
    """The share of the ways from `height` down to 0 in `remaining` steps, never below 0, whose next step goes up.

    By the ballot theorem (r - h) (h + 2) / (2 r (h + 1)): exactly 1 at h = 0 and 0 at h = r. Where nothing
    remains the value has no meaning. (batch,) int64 -> (batch,) float64.
    """
    remaining = remaining.clamp(min=1)
    return ((remaining - height) * (height + 2)).double() / (2 * remaining * (height + 1))


@cache
def cumulative_parentheses(most_pairs: int) -> Tensor:
    """The distribution of the number of pairs that are parentheses in shuffled words, one row a word length.

    Entry (m, k): the share of the words of m pairs with at most k pairs of parentheses, float64
    (most_pairs + 1, most_pairs + 1). A word is a choice of the parentheses' places and a matched word of either
    kind: binomial(2m, 2k) Catalan(k) Catalan(m - k) words, counted in whole numbers before they are divided.
    """
    catalan = [math.comb(2 * n, n) // (n + 1) for n in range(most_pairs + 1)]
    table = torch.ones(most_pairs + 1, most_pairs + 1, dtype=torch.float64)
    for m in range(most_pairs + 1):
        counts = list(accumulate(math.comb(2 * m, 2 * k) * catalan[k] * catalan[m - k] for k in range(m + 1)))
        table[m, : m + 1] = torch.tensor([count / counts[-1] for count in counts], dtype=torch.float64)
    return table


def shuffled_walks(num_parentheses: Tensor, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
    """Words with so many parentheses, the other symbols being brackets; all such words are equally likely.

    Args:
        num_parentheses: (batch,) int64, even, at most lengths.
        lengths: (batch,) int64, even.
        uniforms: (batch, longest) float64: one decides a position's kind, and its rest whether to open.

    Returns:
        Ids (batch, longest), filled up with PAD.
    """
    strings = torch.empty(longest, len(lengths), dtype=torch.long, device=lengths.device)
    remaining = torch.stack([num_parentheses, lengths - num_parentheses])
    height = torch.zeros_like(remaining)
    for position, uniform in enumerate(uniforms.T.contiguous()):
        share = remaining[0].double() / remaining.sum(0).clamp_(min=1)
        is_parenthesis = uniform < share
        rest = torch.where(is_parenthesis, uniform / share, (uniform - share) / (1 - share))
        kind = (~is_parenthesis).long()[None]
        own_height = height.gather(0, kind)[0]
        # Rounding can make a rest of 1, which would not open at height 0, where the share is 1.
        is_open = (rest < opening_share(own_height, remaining.gather(0, kind)[0])) | (own_height == 0)
        opened = torch.where(is_parenthesis, PARENTHESES[0], BRACKETS[0])
        strings[position] = torch.where(is_open, opened, opened + 1).masked_fill_(position >= lengths, PAD)
        height.scatter_add_(0, kind, torch.where(is_open, 1, -1)[None])
        remaining.scatter_add_(0, kind, torch.full_like(kind, -1))
    return strings.T.contiguous()
