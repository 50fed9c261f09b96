"""The states that a rule's automaton reaches, joined into classes with the same future: a graph of numbers."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rule_extrapolation.rules import Rule, State


class Classes(NamedTuple):
    """C classes of states and, as number C, the dead state.

    numbers: key of a class (`Rule.equivalence_class`) -> its number.
    table: (C + 1, symbols) int64, the class after each symbol. Only the classes of a row are right, not which symbol
        leads to which: states of a class may differ in that.
    accepted: (C + 1,) float64, 1 if the rule accepts.
    """

    numbers: dict[Hashable, int]
    table: Tensor
    accepted: Tensor


def classes(rule: Rule, starts: Sequence[State], symbols: Sequence[int], num_symbols: int) -> Classes:
    """The classes of the states that at most `num_symbols` symbols reach from the start states.

    A state from which `rule.needs` more symbols than are left is dead.
    """
    numbers: dict[Hashable, int] = {}
    states: list[State] = []

    def number_of(state: State | None, left: int) -> int:
        if state is None or rule.needs(state) > left:
            return -1
        number = numbers.setdefault(rule.equivalence_class(state), len(states))
        if number == len(states):
            states.append(state)
        return number

    for state in starts:
        number_of(state, num_symbols)
    successors: list[list[int]] = []
    # Breadth first: a state is first reached with the most symbols left. If success is out of reach then, it always is.
    for left in range(num_symbols - 1, -1, -1):
        for state in states[len(successors) :]:
            successors.append([number_of(rule.step(state, symbol), left) for symbol in symbols])
    # The last row is the dead state. States reached by the last symbol are as they are and have no successors.
    table = torch.full((len(states) + 1, len(symbols)), -1)
    table[: len(successors)] = torch.tensor(successors).reshape(-1, len(symbols))
    table[table < 0] = len(states)
    accepted = torch.tensor([*map(rule.accepts, states), False], dtype=torch.float64)
    return Classes(numbers, table, accepted)
