"""Random paths through an automaton, equally likely among those of a length: by counting them, exactly."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Paths:
    """Paths of each length from state 0 to some states.

    The number of paths is a whole number without limit, so nothing overflows. A step's probability is the proportion of
    the paths that begin with it (Hickey and Cohen 1983, "Uniform Random Generation of Strings in a Context-Free
    Language", for regular languages).

    Args:
        moves: moves[state][letter] is the next state.
        ends: for each state, whether a path may end there.
        weights: how often each letter counts; None: once.
    """

    def __init__(self, moves: Sequence[Sequence[int]], ends: Sequence[bool], weights: Sequence[int] | None = None):
        self.moves, self.table = moves, torch.tensor(moves)
        self.weights = [1] * len(moves[0]) if weights is None else weights
        self.counts = [[int(end) for end in ends]]  # by number of steps left, by state
        self.bounds: list[Tensor] = []  # by number of steps left - 1: (states, letters), cumulative probabilities

    def number(self, length: int, state: int = 0) -> int:
        """How many paths of a length there are from a state."""
        while len(self.counts) <= length:
            fewer = self.counts[-1]
            self.counts.append([sum(ways) for ways in self._ways(fewer)])
        return self.counts[length][state]

    def draw(self, length: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Random paths, uniforms (n, length) -> letters (n, length) and the state after each (n, length), int64.

        Rows of no meaning where there is no path.
        """
        self.number(length)
        while len(self.bounds) < length:
            self.bounds.append(self._cumulative(self.counts[len(self.bounds)]))
        state = torch.zeros(len(uniforms), dtype=torch.int64)
        letters, states = torch.empty(2, length, len(uniforms), dtype=torch.int64)
        for step, uniform in enumerate(uniforms.T):
            letter = (self.bounds[length - 1 - step][state] <= uniform[:, None]).sum(1)
            letter.clamp_(max=len(self.weights) - 1)  # where there is no path
            state = self.table[state, letter]
            letters[step], states[step] = letter, state
        return letters.T.contiguous(), states.T.contiguous()

    def _ways(self, fewer: list[int]) -> list[list[int]]:
        return [[weight * fewer[after] for weight, after in zip(self.weights, row, strict=True)] for row in self.moves]

    def _cumulative(self, fewer: list[int]) -> Tensor:
        rows = []
        for ways in self._ways(fewer):
            total, reached, row = sum(ways), 0, []
            for number in ways:
                reached += number
                row.append(reached / total if total else 0.0)  # of whole numbers: rounded once
            rows.append(row)
        return torch.tensor(rows, dtype=torch.float64)
