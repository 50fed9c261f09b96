"""What may follow a prefix: the symbols that some string of a language has there, and whether the string may end.

`Following` works it out for any grammar with the automata of its rules, one prefix after another. The languages of this
package override `Grammar.following` with functions of whole batches; the tests compare the two.
"""

import heapq
from collections.abc import Hashable, Sequence
from itertools import count

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from rule_extrapolation.rules import FIRST_SYMBOL, Rule, State

MOST_KEPT = 20_000  # states


class Following:
    """What may follow each prefix of a string, by search.

    A prefix is dead if no completion of at most 2n + 4 symbols satisfies the rule, where n is its length; for the
    languages of this package there is none at all then (`prompts.grammatical_completion`).

    Args:
        rule: membership of the language.
        symbols: the ids of its symbols.
    """

    def __init__(self, rule: Rule, symbols: Sequence[int]):
        self.rule, self.symbols = rule, symbols
        self.rows: dict[State, tuple[bool, ...]] = {}
        self.completable: dict[Hashable, bool] = {}  # of classes of states

    def __call__(self, string: Sequence[int]) -> list[tuple[bool, ...]]:
        """For each prefix of a string of ids, one symbol and longer: a bool for each symbol, and one for the end."""
        state: State | None = self.rule.start
        found, lost = [], (False,) * (len(self.symbols) + 1)
        for length, token in enumerate(string, start=1):
            state = None if state is None else self.rule.step(state, token)
            if state is not None and not self._completable(state, length):
                state = None
            found.append(lost if state is None else self._after(state, length))
        return found

    def _after(self, state: State, length: int) -> tuple[bool, ...]:
        if state not in self.rows:
            after = [self.rule.step(state, symbol) for symbol in self.symbols]
            may = [one is not None and self._completable(one, length + 1) for one in after]
            if len(self.rows) == MOST_KEPT:
                self.rows.clear()
            self.rows[state] = (*may, self.rule.accepts(state))
        return self.rows[state]

    def _completable(self, state: State, length: int) -> bool:
        """Whether the rule can still be satisfied: a search that takes first what seems nearest to the end."""
        key = self.rule.equivalence_class(state)
        if key in self.completable:
            return self.completable[key]
        order, room = count(), 2 * length + 4
        before: dict[Hashable, Hashable] = {key: None}
        heap = [(self.rule.needs(state), next(order), 0, key, state)]
        while heap:
            _, _, steps, place, state = heapq.heappop(heap)
            if self.rule.accepts(state) or self.completable.get(place, False):
                self.completable[place] = True
                while (place := before[place]) is not None:
                    self.completable[place] = True
                return True
            for symbol in self.symbols:
                after = self.rule.step(state, symbol)
                if after is None or steps + 1 + self.rule.needs(after) > room:
                    continue
                reached = self.rule.equivalence_class(after)
                if reached not in before and self.completable.get(reached, True):
                    before[reached] = place
                    heapq.heappush(heap, (self.rule.needs(after), next(order), steps + 1, reached, after))
        self.completable |= dict.fromkeys(before, False)  # what is reached from a dead one is dead
        return False


def equal_blocks(strings: Tensor, pattern: Sequence[int], num_symbols: int) -> Tensor:
    """What may follow each prefix where blocks of these symbols have one length, such as a a b b c c.

    Args:
        strings: ids (batch, time).
        pattern: the id of each block; neighbours differ.
        num_symbols: of the language.

    Returns:
        (batch, time, num_symbols + 1) bool, the end last.
    """
    places = torch.arange(strings.shape[1])
    change = pad(strings[:, 1:] != strings[:, :-1], (1, 0))
    block = change.cumsum(1)
    run = places - torch.where(change, places, 0).cummax(1).values + 1
    first = (block == 0).sum(1, keepdim=True)
    full = run == first
    expected = torch.tensor([*pattern, -1])[block.clamp(max=len(pattern))]
    fits = (strings == expected) & ((block == 0) | (run <= first))
    fits &= ~change | pad(full[:, :-1], (1, 0))
    fits = so_far(fits)
    names = torch.tensor([*(symbol - FIRST_SYMBOL for symbol in pattern), num_symbols, num_symbols])
    block = block.clamp(max=len(pattern) - 1)
    here, after = (one_hot(names[place], num_symbols + 1).bool() for place in (block, block + 1))
    start, full = (block == 0)[:, :, None], full[:, :, None]
    return fits[:, :, None] & ((here & (start | ~full)) | (after & (start | full)))


def so_far(mask: Tensor) -> Tensor:
    """Where a mask has held from the beginning on, (batch, time) bool."""
    return mask.long().cummin(1).values.bool()
