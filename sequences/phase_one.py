"""Phase 1: recurrences of order 0, 1 and 2."""

import torch
from torch import Tensor

from sequences.family import Family, last, signed


class ConstantTerms(Family):
    """One number, repeated: 7 7 7 7 7 7 7 7 7.

    >>> ConstantTerms().continue_(torch.zeros(1, 0), torch.tensor([[7]]), 8).tolist()
    [[7, 7, 7, 7, 7, 7, 7, 7]]
    """

    name, phase = "constant", 1

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        return last(terms)

    def degenerate(self, rules: Tensor, terms: Tensor) -> Tensor:
        return torch.zeros(len(terms), dtype=torch.bool)


class Arithmetic(Family):
    """x + d, d = +-1 .. 31: 3 10 17 24 31 38 45 52 59.

    >>> Arithmetic().continue_(torch.tensor([[7]]), torch.tensor([[3]]), 8).tolist()
    [[10, 17, 24, 31, 38, 45, 52, 59]]
    """

    name, phase = "arithmetic", 1

    def parameters(self) -> list[list[int]]:
        return [signed(31)]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        return last(terms) + rules[:, 0]


class PeriodTwo(Family):
    """Two alternating numbers: 3 8 3 8 3 8 3 8 3.

    >>> PeriodTwo().continue_(torch.zeros(1, 0), torch.tensor([[3, 8]]), 7).tolist()
    [[3, 8, 3, 8, 3, 8, 3]]
    """

    name, phase, order = "period_two", 1, 2

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        return terms[:, -2]


class LinearOrderTwo(Family):
    """a x_{t-1} + b x_{t-2} + c with a, b = -2 .. 2, b not 0, c = -4 .. 4: 1 1 2 3 5 8 13 21 34 for (1, 1, 0).

    >>> LinearOrderTwo().continue_(torch.tensor([[1, 1, 0]]), torch.tensor([[1, 1]]), 7).tolist()
    [[2, 3, 5, 8, 13, 21, 34]]
    """

    name, phase, order, scaled = "linear_order_two", 1, 2, True

    def parameters(self) -> list[list[int]]:
        return [list(range(-2, 3)), signed(2), list(range(-4, 5))]

    def makes_a_family(self, rules: Tensor) -> Tensor:
        """2 x_{t-1} - x_{t-2} makes all arithmetic sequences, x_{t-2} all of period two."""
        every = torch.tensor([[2, -1, 0], [0, 1, 0]])
        return (rules.unsqueeze(1) == every).all(2).any(1)

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        a, b, c = rules.unbind(1)
        return a * last(terms) + b * terms[:, -2] + c
