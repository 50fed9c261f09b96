"""Phase 2: changing steps, ratios, runs, growth."""

import torch
from torch import Tensor

from sequences.family import MASKED, NUM_TERMS, NUM_VALUES, Family, last, signed

RATIOS = ((3, 2), (4, 3), (5, 4), (2, 3), (3, 4), (4, 5), (1, 2), (1, 3))


class AlternatingSteps(Family):
    """Two alternating steps, +-1 .. 20, neither equal nor opposite: 5 12 10 17 15 22 20 27 25 for (7, -2).

    >>> AlternatingSteps().continue_(torch.tensor([[7, -2]]), torch.tensor([[5]]), 8).tolist()
    [[12, 10, 17, 15, 22, 20, 27, 25]]
    """

    name, phase = "alternating_steps", 2

    def parameters(self) -> list[list[int]]:
        return [signed(20), signed(20)]

    def is_rule(self, *parameters: int) -> bool:
        first, second = parameters
        return first != second and first != -second

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        return last(terms) + rules[:, (terms.shape[1] - 1) % 2]


class GrowingSteps(Family):
    """Steps that change by +-1 .. 5, starting at +-1 .. 31: 1 4 9 16 25 36 49 64 81 for (3, 2).

    >>> GrowingSteps().continue_(torch.tensor([[3, 2]]), torch.tensor([[1]]), 8).tolist()
    [[4, 9, 16, 25, 36, 49, 64, 81]]
    """

    name, phase = "growing_steps", 2

    def parameters(self) -> list[list[int]]:
        return [signed(31), signed(5)]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        first, change = rules.unbind(1)
        return last(terms) + first + change * (terms.shape[1] - 1)


class Ratio(Family):
    """Floor or ceiling of p/q x, p/q from RATIOS: 200 100 50 25 12 6 3 1 0 for the floor of 1/2.

    >>> Ratio().continue_(torch.tensor([[1, 2, 0]]), torch.tensor([[200]]), 8).tolist()
    [[100, 50, 25, 12, 6, 3, 1, 0]]
    """

    name, phase, scaled = "ratio", 2, True

    def parameters(self) -> list[list[int]]:
        return [[1, 2, 3, 4, 5], [2, 3, 4, 5], [0, 1]]

    def is_rule(self, *parameters: int) -> bool:
        return parameters[:2] in RATIOS

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        numerator, denominator, ceiling = rules.unbind(1)
        return (numerator * last(terms) + ceiling * (denominator - 1)) // denominator


class AlternatingFactors(Family):
    """Alternately f x and floor(x / g), f and g from 2 .. 5 and not equal: 4 12 6 18 9 27 13 39 19 for (3, 2, 0).

    If the third parameter is 1, the division comes first.

    >>> AlternatingFactors().continue_(torch.tensor([[3, 2, 0]]), torch.tensor([[4]]), 8).tolist()
    [[12, 6, 18, 9, 27, 13, 39, 19]]
    """

    name, phase, scaled = "alternating_factors", 2, True

    def parameters(self) -> list[list[int]]:
        return [[2, 3, 4, 5], [2, 3, 4, 5], [0, 1]]

    def is_rule(self, *parameters: int) -> bool:
        factor, divisor, _ = parameters
        return factor != divisor

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        factor, divisor, first = rules.unbind(1)
        divides = (terms.shape[1] - 1 + first) % 2 == 1
        return torch.where(divides, last(terms) // divisor, last(terms) * factor)


class Runs(Family):
    """Runs of two alternating lengths, 1 .. 3, with a step +-1 .. 12 between: 4 7 7 10 13 13 16 19 19 for (1, 2, 3).

    >>> Runs().continue_(torch.tensor([[1, 2, 3]]), torch.tensor([[4]]), 8).tolist()
    [[7, 7, 10, 13, 13, 16, 19, 19]]
    """

    name, phase = "runs", 2

    def parameters(self) -> list[list[int]]:
        return [[1, 2, 3], [1, 2, 3], signed(12)]

    def is_rule(self, *parameters: int) -> bool:
        first, second, _ = parameters
        return first + second > 2

    def degenerate(self, rules: Tensor, terms: Tensor) -> Tensor:
        return torch.zeros(len(terms), dtype=torch.bool)  # a run of three at the end is fine

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        first, second, step = rules.unbind(1)
        place = terms.shape[1] % (first + second)
        return last(terms) + torch.where((place == 0) | (place == first), step, 0)


class TrueGrowth(Family):
    """f x + c with f = 2 or 3 and c = -2 .. 2 while in 0 .. 255: 1 3 7 15 31 63 127 255 for (2, 1).

    There are at least four terms; the rest is masked.

    >>> TrueGrowth().sequences(torch.tensor([[3, 0]]), torch.tensor([[2]]))[0].tolist()
    [[2, 6, 18, 54, 162, -1, -1, -1, -1]]
    """

    name, phase, scaled = "true_growth", 2, True
    min_terms = 4

    def parameters(self) -> list[list[int]]:
        return [[2, 3], list(range(-2, 3))]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        factor, offset = rules.unbind(1)
        return factor * last(terms) + offset

    def sequences(self, rules: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        terms = self.extended(rules, initial, NUM_TERMS)
        inside = ((terms >= 0) & (terms < NUM_VALUES)).long().cumprod(1).bool()
        grows = terms[:, 1] > terms[:, 0]
        return torch.where(inside, terms, MASKED), grows & (inside.sum(1) >= self.min_terms)
