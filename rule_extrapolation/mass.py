"""The probability that a model gives to all short strings, by the rules that they keep: exact, by enumeration."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import EOS, SOS
from seqlab.decode import in_own_precision
from seqlab.model import SequenceModel, State, device_of, evaluating, rows_of

CATEGORIES = ("both_rules", "rule_1_only", "rule_2_only", "neither")
MOST_STRINGS = 2**20  # of the greatest length
ROWS = 4096  # prefixes that are read at once


def masses(model: SequenceModel, grammar: Grammar, length: int) -> dict[str, float]:
    """The probability of all strings of at most `length` symbols that end, in the four categories of the two rules.

    Each prefix is read once, from the state that the prefix before it left. The sum is below 1: longer strings have
    the rest, and those with SOS or PAD inside, which keep no rule. The empty string is one of those that count.

    Args:
        model: a token model with the ids of the grammar.
        grammar: the language.
        length: the greatest number of symbols, at most spec.max_length - 1.

    Returns:
        The probabilities by name: both_rules, rule_1_only, rule_2_only, neither; sums in float64.
    """
    totals = torch.zeros(4, dtype=torch.float64)
    start = torch.full((1, 1), SOS, device=device_of(model))
    with evaluating(model), in_own_precision(start):
        logits, state = model.prefill(start, model.init_state(1, length + 1))
        tree = Tree(model, torch.tensor(grammar.symbol_ids, device=start.device), length)
        for strings, logs in tree.below(start[:, :0], torch.zeros(1, device=start.device), logits[:, -1], state):
            rule_1, rule_2 = grammar.rule_1(strings), grammar.rule_2(strings)
            category = 3 - 2 * rule_1.long() - rule_2.long()  # 0 both, 1 rule 1 alone, 2 rule 2 alone, 3 neither
            totals += torch.bincount(category.cpu(), logs.double().exp().cpu(), minlength=4)
    return dict(zip(CATEGORIES, totals.tolist(), strict=True))


def check_length(grammar: Grammar, length: int, max_length: int) -> None:
    """Raise ValueError if `masses` cannot enumerate strings of a length, or a model is not made for it.

    Args:
        grammar: the language.
        length: the greatest number of symbols.
        max_length: the number of symbols that a model reads.
    """
    longest = max(n for n in range(max_length + 1) if len(grammar.symbols) ** n <= MOST_STRINGS)
    if length > longest:
        raise ValueError(f"task.mass_length={length}: {grammar.name} allows 1 to {longest} here")


class Tree:
    """All strings of some symbols up to a length, as a tree that is read from the root to its leaves.

    Args:
        model: reads each prefix.
        symbols: ids, (number,).
        length: the depth of the tree.
    """

    def __init__(self, model: SequenceModel, symbols: Tensor, length: int):
        self.model, self.symbols, self.length = model, symbols, length

    def below(self, prefixes: Tensor, logs: Tensor, logits: Tensor, state: State) -> Iterator[tuple[Tensor, Tensor]]:
        """Prefixes and all that begin with them: strings (number, time) and the logs of their probabilities with EOS.

        Args:
            prefixes: (batch, time) ids without SOS.
            logs: (batch,) of their probabilities.
            logits: (batch, vocabulary) after them.
            state: of the model after them.
        """
        following = logits.double().log_softmax(-1)
        yield prefixes, logs + following[:, EOS]
        if prefixes.shape[1] == self.length:
            return
        longer = (logs[:, None] + following[:, self.symbols]).flatten()
        count = len(self.symbols)
        symbols = self.symbols.repeat(len(prefixes))
        prefixes = torch.cat([prefixes.repeat_interleave(count, 0), symbols[:, None]], 1)
        for start in range(0, len(prefixes), ROWS):
            rows = torch.arange(start, min(start + ROWS, len(prefixes)), device=prefixes.device)
            logits, after = self.model.step(symbols[rows], rows_of(state, rows // count))
            yield from self.below(prefixes[rows], longer[rows], logits, after)
