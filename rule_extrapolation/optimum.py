"""The lowest loss that any model can have: exact next-token probabilities of the sampler of a language.

The sampler draws a length uniformly from the language's lengths and a string uniformly from those of that length
(`Grammar.lengths`, `Grammar.batch`). So P(next token | prefix) is a ratio of weighted numbers of completions, which
dynamic programming over the rules' automata counts. It does not know the split of a string.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rule_extrapolation.classes import classes
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import EOS, PAD, State


class Optimum(NamedTuple):
    """What the best predictor reaches on some strings.

    loss: mean of -log P(token | prefix) in nats over all targets, EOS included: the entropy rate on these strings.
    accuracy: how often the most probable token is the target; t tokens that are equally probable count 1 / t each.
    """

    loss: float
    accuracy: float


class NextToken:
    """P(next token | prefix) under the sampler of a language.

    Args:
        grammar: the language.
        max_length: the maximum number of symbols in a string.

    >>> from rule_extrapolation.letters import ANBN
    >>> NextToken(ANBN(), 4).after("aab")  # EOS, a, b
    [0.0, 0.0, 1.0]
    >>> NextToken(ANBN(), 4).after("a")
    [0.0, 0.5, 0.5]
    """

    def __init__(self, grammar: Grammar, max_length: int):
        self.grammar, self.rule = grammar, grammar.grammatical
        symbols = grammar.symbol_ids
        graph = classes(self.rule, [self.rule.start], symbols, max_length)
        self.class_numbers, self.dead = graph.numbers, len(graph.numbers)
        start = self.class_numbers[self.rule.equivalence_class(self.rule.start)]
        # ways[r][c]: the proportion of the strings of r symbols that complete class c
        ways = [graph.accepted]
        for _ in range(max_length):
            ways.append(ways[-1][graph.table].mean(1))
        # weight[m][c]: P(a prefix of m symbols that leads to c), times the number of lengths and of prefixes
        lengths = grammar.lengths(max_length).tolist()
        inverse = {length: 1 / float(ways[length][start]) for length in lengths}
        weight = torch.zeros(max_length + 2, self.dead + 1, dtype=torch.float64)
        for read in range(max_length + 1):
            for length in lengths:
                if length >= read:
                    weight[read] += ways[length - read] * inverse[length]
        self.weight: list[list[float]] = weight.tolist()
        ends = torch.stack([graph.accepted * inverse.get(length, 0.0) for length in range(max_length + 1)])
        self.ends: list[list[float]] = ends.tolist()
        self.successors: dict[State, list[State | None]] = {}
        self.found: dict[tuple[State, int], list[float]] = {}

    def after_each(self, state: State) -> list[State | None]:
        """The states after each symbol."""
        if state not in self.successors:
            self.successors[state] = [self.rule.step(state, symbol) for symbol in self.grammar.symbol_ids]
        return self.successors[state]

    def number_of(self, state: State | None) -> int:
        """The number of a state's class; that of the dead state if no string of the language goes through it."""
        return self.dead if state is None else self.class_numbers.get(self.rule.equivalence_class(state), self.dead)

    def probabilities(self, state: State, num_read: int) -> list[float]:
        """P(EOS), then P(each symbol), after a possible prefix of num_read symbols that leads to a state."""
        if (state, num_read) not in self.found:
            number, after = self.number_of(state), self.after_each(state)
            whole = self.weight[num_read][number]
            each = [self.weight[num_read + 1][self.number_of(other)] / (len(after) * whole) for other in after]
            self.found[state, num_read] = [self.ends[num_read][number] / whole, *each]
        return self.found[state, num_read]

    def after(self, prefix: str) -> list[float]:
        """P(EOS), then P(each symbol), after a prefix in symbols of the language.

        Raises:
            ValueError: no string of the language begins so.
        """
        state: State | None = self.rule.start
        tokens = self.grammar.parse(prefix)
        for token in tokens:
            state = None if state is None else self.rule.step(state, token)
        if state is None or len(tokens) + 1 >= len(self.weight) or not self.weight[len(tokens)][self.number_of(state)]:
            raise ValueError(f"{self.grammar.name}: no string begins with {prefix!r}")
        return self.probabilities(state, len(tokens))

    def optimum(self, strings: Tensor) -> Optimum:
        """The loss and accuracy of the best predictor on strings of the language, framed as SOS, symbols, EOS, PAD."""
        different, counts = strings.unique(dim=0, return_counts=True)
        nats, correct, targets = 0.0, 0.0, 0
        for string, count in zip(different.tolist(), counts.tolist(), strict=True):
            state = self.rule.start
            for num_read, token in enumerate(string[1:]):
                if token == PAD:
                    break
                probabilities = self.probabilities(state, num_read)
                place = 0 if token == EOS else 1 + token - self.grammar.symbol_ids.start
                nats -= count * math.log(probabilities[place])
                best = max(probabilities) * (1 - 1e-9)  # equal but for rounding
                if probabilities[place] >= best:
                    correct += count / sum(one >= best for one in probabilities)
                targets += count
                if token != EOS:
                    state = self.after_each(state)[place - 1]
        return Optimum(nats / targets, correct / targets)
