"""Random paths through an automaton, equally likely among those of a length: by counting them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Paths:
    """Paths of each length from state 0 to some states.

    A step's probability is the proportion of the paths that begin with it. Numbers of paths are float64 with exponents
    of their own, so nothing overflows, at any length; each step adds a relative error of 1e-15. Only sums, products
    and quotients are taken, in a fixed order: every machine draws the same.

    Args:
        moves: `moves[state][letter]` is the next state.
        ends: for each state, whether a path may end there.
        weights: how often each letter counts; None: once.
    """

    def __init__(self, moves: Sequence[Sequence[int]], ends: Sequence[bool], weights: Sequence[int] | None = None):
        self.table, self.moves = torch.tensor(moves), np.array(moves)
        self.weights = np.ones(len(moves[0])) if weights is None else np.array(weights, dtype=np.float64)
        self.counts = [np.frexp(np.array(ends, dtype=np.float64))]  # by steps left: mantissas and exponents of states
        self.bounds: list[Tensor] = []  # by steps left - 1: (states, letters), cumulative probabilities

    def exist(self, length: int) -> bool:
        """Whether there is a path of this length."""
        self._grow(length)
        return bool(self.counts[length][0][0] > 0)

    def number(self, length: int) -> float:
        """How many paths of this length there are; infinite if a float64 does not hold it."""
        self._grow(length)
        mantissas, exponents = self.counts[length]
        with np.errstate(over="ignore"):
            return float(np.ldexp(mantissas[0], exponents[0]))

    def draw(self, length: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Random paths, uniforms (n, length) -> letters (n, length) and the state after each (n, length), int64.

        Rows of no meaning where there is no path.
        """
        self._grow(length)
        state = torch.zeros(len(uniforms), dtype=torch.int64)
        letters, states = torch.empty(2, length, len(uniforms), dtype=torch.int64)
        for step, uniform in enumerate(uniforms.T):
            letter = (self.bounds[length - 1 - step][state] <= uniform[:, None]).sum(1)
            letter.clamp_(max=self.table.shape[1] - 1)  # where there is no path
            state = self.table[state, letter]
            letters[step], states[step] = letter, state
        return letters.T.contiguous(), states.T.contiguous()

    def _grow(self, length: int) -> None:
        while len(self.bounds) < length:
            mantissas, exponents = (part[self.moves] for part in self.counts[-1])
            exponents = np.where(mantissas > 0, exponents, np.iinfo(np.int32).min // 2)
            top = exponents.max(1)
            ways = np.ldexp(mantissas * self.weights, np.maximum(exponents - top[:, None], -2000))
            reached = np.add.accumulate(ways, 1)
            total = reached[:, -1]
            self.bounds.append(torch.from_numpy(reached / np.where(total > 0, total, 1)[:, None]))
            mantissas, shifts = np.frexp(total)
            self.counts.append((mantissas, np.where(total > 0, shifts + top, 0)))
