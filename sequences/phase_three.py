"""Phase 3: remainders, conditions, and rules composed of two rules."""

import torch
from torch import Tensor

from sequences.family import NUM_TERMS, Family, last, signed


class LinearModulo(Family):
    """(a x_{t-1} + b x_{t-2} + c) mod m, m = 2 .. 32, initial terms below m: 0 1 1 2 0 2 2 1 0 for (1, 1, 0, 3).

    a and c from 0 .. 3, b from 1 .. 3. Fibonacci mod 3 is one of them.

    >>> LinearModulo().continue_(torch.tensor([[1, 1, 0, 3]]), torch.tensor([[0, 1]]), 7).tolist()
    [[1, 2, 0, 2, 2, 1, 0]]
    """

    name, phase, order = "linear_modulo", 3, 2

    def parameters(self) -> list[list[int]]:
        return [[0, 1, 2, 3], [1, 2, 3], [0, 1, 2, 3], list(range(2, 33))]

    def limits(self, rules: Tensor) -> Tensor:
        return rules[:, 3]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        a, b, c, modulus = rules.unbind(1)
        return (a * last(terms) + b * terms[:, -2] + c) % modulus


class DoubledTerms(Family):
    """x + d with every k-th term doubled, k = 2 .. 4, d = +-1 .. 31: 5 6 14 8 9 20 11 12 26 for (1, 3).

    >>> DoubledTerms().continue_(torch.tensor([[1, 3]]), torch.tensor([[5]]), 8).tolist()
    [[6, 14, 8, 9, 20, 11, 12, 26]]
    """

    name, phase = "doubled_terms", 3

    def parameters(self) -> list[list[int]]:
        return [signed(31), [2, 3, 4]]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        step, every = rules.unbind(1)
        plain = terms[:, 0] + step * terms.shape[1]
        return torch.where((terms.shape[1] + 1) % every == 0, 2 * plain, plain)


class AlternatingSigns(Family):
    """Alternately above and below 128, the distance changing by d = +-1 .. 25: 138 115 144 109 150 103 ... for d = 3.

    >>> AlternatingSigns().continue_(torch.tensor([[3]]), torch.tensor([[138]]), 8).tolist()
    [[115, 144, 109, 150, 103, 156, 97, 162]]
    """

    name, phase = "alternating_signs", 3

    def parameters(self) -> list[list[int]]:
        return [signed(25)]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        start = terms[:, 0] - 128
        side = torch.where(start < 0, -1, 1) * (-1) ** terms.shape[1]
        return 128 + side * (start.abs() + rules[:, 0] * terms.shape[1])

    def degenerate(self, rules: Tensor, terms: Tensor) -> Tensor:
        distance = (terms[:, 0] - 128).abs() + rules[:, 0] * (NUM_TERMS - 1)
        return distance < 0  # the distance has changed sign, so the sides no longer alternate


class ParityCondition(Family):
    """Even: x + a; odd: b x + c. a = +-1 .. 20, b in {-1, 1, 2}, c = -20 .. 20: 6 9 16 19 36 ... for (3, 2, -2).

    The first seven terms have at least two odd ones and at least one even one.

    >>> ParityCondition().continue_(torch.tensor([[3, 2, -2]]), torch.tensor([[6]]), 4).tolist()
    [[9, 16, 19, 36]]
    """

    name, phase = "parity_condition", 3

    def parameters(self) -> list[list[int]]:
        return [signed(20), [-1, 1, 2], list(range(-20, 21))]

    def is_rule(self, *parameters: int) -> bool:
        even, factor, odd = parameters
        return not (factor == 1 and even == odd)

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        even, factor, odd = rules.unbind(1)
        return torch.where(last(terms) % 2 == 0, last(terms) + even, factor * last(terms) + odd)

    def degenerate(self, rules: Tensor, terms: Tensor) -> Tensor:
        num_odd = (terms[:, : NUM_TERMS - 2] % 2).sum(1)
        return super().degenerate(rules, terms) | (num_odd < 2) | (num_odd > NUM_TERMS - 3)


class ThresholdCondition(Family):
    """Below T: x + a; from T on: x - b. T = 32, 48 .. 224; a, b = 1 .. 40: 50 60 70 40 50 60 70 40 50 for (64, 10, 30).

    The first seven terms take both branches.

    >>> ThresholdCondition().continue_(torch.tensor([[64, 10, 30]]), torch.tensor([[50]]), 8).tolist()
    [[60, 70, 40, 50, 60, 70, 40, 50]]
    """

    name, phase = "threshold_condition", 3

    def parameters(self) -> list[list[int]]:
        return [list(range(32, 225, 16)), list(range(1, 41)), list(range(1, 41))]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        threshold, up, down = rules.unbind(1)
        return last(terms) + torch.where(last(terms) < threshold, up, -down)

    def degenerate(self, rules: Tensor, terms: Tensor) -> Tensor:
        num_below = (terms[:, : NUM_TERMS - 2] < rules[:, :1]).sum(1)
        return (num_below == 0) | (num_below == NUM_TERMS - 2)


class Composition(Family):
    """Two rules in each step, floor(p/q x) and then + c: 100 60 40 30 25 22 21 20 20 for (1, 2, 10).

    p/q is one of 1/2, 2/3, 3/4, 4/5, 3/2, 2/1; c = +-1 .. 60.

    >>> Composition().continue_(torch.tensor([[1, 2, 10]]), torch.tensor([[100]]), 8).tolist()
    [[60, 40, 30, 25, 22, 21, 20, 20]]
    """

    name, phase = "composition", 3
    ratios = ((1, 2), (2, 3), (3, 4), (4, 5), (3, 2), (2, 1))

    def parameters(self) -> list[list[int]]:
        return [[1, 2, 3, 4], [1, 2, 3, 4, 5], signed(60)]

    def is_rule(self, *parameters: int) -> bool:
        return parameters[:2] in self.ratios

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        numerator, denominator, offset = rules.unbind(1)
        return numerator * last(terms) // denominator + offset


class Switch(Family):
    """x + d for the first s = 3 .. 6 steps, then x + e; d, e = +-1 .. 31: 25 28 31 34 37 32 27 22 17 for (3, -5, 4).

    >>> Switch().continue_(torch.tensor([[3, -5, 4]]), torch.tensor([[25]]), 8).tolist()
    [[28, 31, 34, 37, 32, 27, 22, 17]]
    """

    name, phase = "switch", 3

    def parameters(self) -> list[list[int]]:
        return [signed(31), signed(31), [3, 4, 5, 6]]

    def is_rule(self, *parameters: int) -> bool:
        return parameters[0] != parameters[1]

    def next_(self, rules: Tensor, terms: Tensor) -> Tensor:
        before, after, place = rules.unbind(1)
        return last(terms) + torch.where(terms.shape[1] <= place, before, after)
