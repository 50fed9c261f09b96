"""Wider rules, for training alone: polynomials, recurrences of order three, Beatty sequences, digits, divisors ...

They have no enumerated rules, so nothing is tested on them; training draws some of its samples here. Each kind is
stated by parameters, not by a list of sequences; of digits and divisors there are other functions than those that the
real sequences are made with. What `may_train` forbids is drawn again: what a held-out rule keeps, every window of a
real sequence, and the buckets of validation and test.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seqlab.randomness import uniforms_of
from sequences.family import NUM_TERMS, NUM_VALUES
from sequences.held_out import code_of, may_train

# n sequences; parameters come from uniform numbers in [0, 1)

NUM_PARAMETERS = 8  # uniform numbers that a simple kind takes, at most
MAX_ATTEMPTS = 2**14  # never reached: every kind keeps one draw in fifty and more
LEAST_CHANGES = 2  # a kept sequence changes more often than this

PLACES = torch.arange(NUM_TERMS)
MOST_DIGITS = 6
MOST_DIVISOR = 12


def integers(number: Tensor, low: int | Tensor, high: int | Tensor) -> Tensor:
    """Uniform integers low .. high from uniform numbers (n,): (n, 1)."""
    return (low + number * (high - low + 1)).floor().long().unsqueeze(1)


def polynomial(numbers: Tensor) -> Tensor:
    """floor((a i^3 + b i^2 + c i + d) / k), a cubic in two of five: (n, 9)."""
    cubic = integers(numbers[:, 0], 0, 3) * (numbers[:, 1:2] < 0.4)
    square, line, start = (
        integers(numbers[:, 2], -4, 8),
        integers(numbers[:, 3], -12, 12),
        integers(numbers[:, 4], 0, 60),
    )
    sums = cubic * PLACES**3 + square * PLACES**2 + line * PLACES + start
    return sums.div(integers(numbers[:, 5], 1, 6), rounding_mode="floor")


def order_three(numbers: Tensor) -> Tensor:
    """a x_{t-1} + b x_{t-2} + c x_{t-3} + d, a, b, c = -1 .. 2, d = -2 .. 2 in three of ten: (n, 9)."""
    a, b, c = (integers(numbers[:, place], -1, 2)[:, 0] for place in range(3))
    d = integers(numbers[:, 3], -2, 2)[:, 0] * (numbers[:, 4] < 0.3)
    scale = 2 ** integers(numbers[:, 5], 1, 5)[:, 0]
    terms = [(numbers[:, place] * scale).long() for place in (6, 7)]
    terms.append(((numbers[:, 6] * 1009 + numbers[:, 7] * 757) % 1 * scale).long())
    for _ in range(3, NUM_TERMS):
        terms.append((a * terms[-1] + b * terms[-2] + c * terms[-3] + d).clamp(-(2**20), 2**20))
    return torch.stack(terms, 1)


def beatty(numbers: Tensor) -> Tensor:
    """floor(slope (i + o) + start), the slope up to 1, 2, 4 or 8, o = 0 .. 2: (n, 9)."""
    slope = numbers[:, 0:1] * 2 ** integers(numbers[:, 1], 0, 3)
    start = numbers[:, 2:3] * torch.where(numbers[:, 3:4] < 2 / 3, 1, 30)
    return (slope * (PLACES + integers(numbers[:, 4], 0, 2)) + start).floor().long()


def periodic(numbers: Tensor) -> Tensor:
    """A period of 3 to 6 terms, each below 2, 4, ... or 64: (n, 9)."""
    terms = (numbers[:, 2:8] * 2 ** integers(numbers[:, 1], 1, 6)).long()
    return terms.gather(1, PLACES % integers(numbers[:, 0], 3, 6))


def of_digits(numbers: Tensor) -> Tensor:
    """f (sum or greatest of the digits in base 3, 5, 6 or 7) + g of a i + o: (n, 9)."""
    base = torch.tensor([3, 5, 6, 7])[integers(numbers[:, 0], 0, 3)]
    number = integers(numbers[:, 1], 1, 4) * PLACES + integers(numbers[:, 2], 0, 40)
    digits = torch.stack([number // base**power % base for power in range(MOST_DIGITS)])
    chosen = torch.where(numbers[:, 3:4] < 0.5, digits.sum(0), digits.amax(0))
    return integers(numbers[:, 4], 1, 5) * chosen + integers(numbers[:, 5], 0, 9)


def of_divisors(numbers: Tensor) -> Tensor:
    """f d + g of a i + o, where d is the gcd with k = 2 .. 12, or counts or sums the divisors up to k: (n, 9)."""
    k = integers(numbers[:, 0], 2, MOST_DIVISOR)
    number = integers(numbers[:, 1], 1, 4) * PLACES + integers(numbers[:, 2], 1, 40)
    common = torch.gcd(number, k)
    divisor = torch.arange(1, MOST_DIVISOR + 1)
    divides = (number.unsqueeze(2) % divisor == 0) & (divisor <= k.unsqueeze(2))
    chosen = torch.where(numbers[:, 3:4] < 1 / 3, common, divides.sum(2))
    chosen = torch.where(numbers[:, 3:4] > 2 / 3, (divides * divisor).sum(2), chosen)
    return integers(numbers[:, 4], 1, 5) * chosen + integers(numbers[:, 5], 0, 9)


SIMPLE: tuple[Callable[[Tensor], Tensor], ...] = (polynomial, order_three, beatty, periodic, of_digits, of_divisors)


def some(numbers: Tensor) -> Tensor:
    """A sequence of any simple kind, chosen by the first number, (n, 9) from (n, 1 + NUM_PARAMETERS)."""
    kind = (numbers[:, 0] * len(SIMPLE)).long()
    terms = torch.empty(len(numbers), NUM_TERMS, dtype=torch.int64)
    for index, simple in enumerate(SIMPLE):
        rows = (kind == index).nonzero().squeeze(1)
        terms[rows] = simple(numbers[rows, 1:])
    return terms


def halves(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Two sequences of any kinds."""
    return some(numbers[:, : 1 + NUM_PARAMETERS]), some(numbers[:, 1 + NUM_PARAMETERS :])


def sum_of_two(numbers: Tensor) -> Tensor:
    """The sums of the terms of two sequences: (n, 9)."""
    first, second = halves(numbers)
    return first + second


def interleaved(numbers: Tensor) -> Tensor:
    """The first term of a sequence, the first of another, the second of each, and so on: (n, 9)."""
    first, second = halves(numbers)
    return torch.where(PLACES % 2 == 0, first[:, PLACES // 2], second[:, PLACES // 2])


def partial_sums(numbers: Tensor) -> Tensor:
    """The sums of the first terms of a sequence: (n, 9)."""
    return some(numbers).cumsum(1)


def remainders(numbers: Tensor) -> Tensor:
    """The terms of a sequence modulo 2 .. 16: (n, 9)."""
    return some(numbers).remainder(integers(numbers[:, -1], 2, 16))


KINDS: tuple[Callable[[Tensor], Tensor], ...] = (*SIMPLE, sum_of_two, interleaved, partial_sums, remainders)


def draw_wide(seed: int, indices: Tensor, fold: int = 0) -> Tensor:
    """Training sequences of wider rules, one for each sample index: (n, 9). All kinds are equally frequent.

    A function of (seed, fold, index). The kind stays; its parameters are resampled while a term is outside 0 .. 255,
    the terms change at most twice, or the sequence is held out.
    """
    terms = torch.empty(len(indices), NUM_TERMS, dtype=torch.int64)
    kinds = (uniforms_of(seed, "train wide kind", indices, 1)[:, 0] * len(KINDS)).long()
    for number, kind in enumerate(KINDS):
        missing, attempt = (kinds == number).nonzero().squeeze(1), 0
        while len(missing):
            assert attempt < MAX_ATTEMPTS, f"{kind.__name__} has no sequences for training in fold {fold}"
            counters = indices[missing] * MAX_ATTEMPTS + attempt
            drawn = kind(uniforms_of(seed, f"train wide {kind.__name__}", counters, 2 * (1 + NUM_PARAMETERS)))
            kept = ((drawn >= 0) & (drawn < NUM_VALUES)).all(1) & ((drawn.diff() != 0).sum(1) > LEAST_CHANGES)
            kept[kept.clone()] = may_train(code_of(drawn[kept]), fold)
            terms[missing[kept]] = drawn[kept]
            missing = missing[~kept]
            attempt += 1
    return terms
