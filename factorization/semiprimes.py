"""The sets of semiprimes S1 to S7: products of two primes, N = p q with p <= q, enumerated or sampled.

Numbers are int64 tensors. A 64-bit number does not fit in int64, so the tensor holds its bit pattern; `unsigned`
recovers the number.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from factorization.primes import are_prime, primes_below
from seqlab.randomness import uniforms_of

SetName = Literal["S1", "S2", "S3", "S4", "S5", "S6", "S7"]
MAX_TABLE_BITS = 24  # larger primes are not sampled from a table: half a million have 24 bits, a hundred million 32
CANDIDATES = 16  # numbers tested per draw of two larger primes; a draw without two primes is resampled
FEW = 256  # rows; fewer rows test all candidates at once
WHEEL = 2 * 3 * 5 * 7 * 11 * 13


class Semiprimes(NamedTuple):
    """Numbers (count,) int64 and the smaller prime factor of each, (count,) int64."""

    numbers: Tensor
    factors: Tensor

    def where(self, mask: Tensor) -> "Semiprimes":
        """The semiprimes selected by a mask (count,) or by indices."""
        return Semiprimes(self.numbers[mask], self.factors[mask])


def unsigned(numbers: Tensor) -> NDArray[np.uint64]:
    """int64 bit patterns reinterpreted as uint64 numbers."""
    return numbers.cpu().numpy().view(np.uint64)


def semiprimes_below(
    limit: int, *, odd: bool = False, squares: bool = True, factors_below: int | None = None
) -> Semiprimes:
    """All N = p q < limit with primes p <= q, sorted by p, then q.

    Args:
        limit: exclusive upper bound of N.
        odd: exclude p = 2.
        squares: include p = q.
        factors_below: exclusive upper bound of both factors.

    >>> semiprimes_below(16).numbers.tolist()
    [4, 6, 10, 14, 9, 15]
    >>> len(semiprimes_below(10_001).numbers), len(semiprimes_below(10_001, squares=False).numbers)
    (2625, 2600)
    """
    primes = primes_below(min((limit - 1) // (3 if odd else 2) + 1, factors_below or limit))
    primes = primes[1:] if odd else primes
    smaller = primes[primes * primes < limit]
    first = torch.arange(len(smaller)) + (not squares)
    stop = torch.searchsorted(primes, (limit - 1) // smaller, right=True)
    return _pairs(primes, smaller, first, stop)


def balanced_semiprimes(bits: int, *, squares: bool = True) -> Semiprimes:
    """All N of exactly `bits` bits whose two prime factors have bits / 2 bits each.

    >>> balanced_semiprimes(6).numbers.tolist()
    [35, 49]
    """
    half = bits // 2
    primes = primes_below(1 << half)
    primes = primes[primes >= 1 << (half - 1)]
    # p q >= 2^(bits - 1) gives the least q for each p, which must not be below p
    least = ((1 << (bits - 1)) + primes - 1) // primes
    first = torch.maximum(torch.searchsorted(primes, least), torch.arange(len(primes)) + (not squares))
    return _pairs(primes, primes, first, torch.full_like(first, len(primes)))


def _pairs(primes: Tensor, smaller: Tensor, first: Tensor, stop: Tensor) -> Semiprimes:
    """The products of each smaller[i] with primes[first[i]] .. primes[stop[i] - 1], without a loop."""
    counts = (stop - first).clamp(min=0)
    factors = smaller.repeat_interleave(counts)
    starts = counts.cumsum(0) - counts
    places = torch.arange(len(factors)) + (first - starts).repeat_interleave(counts)
    return Semiprimes(factors * primes[places], factors)


def drawn_semiprimes(
    bits: int, *, seed: int, stream: str, indices: Tensor, attempt: int = 0
) -> tuple[Semiprimes, Tensor]:
    """Random balanced semiprimes of exactly `bits` bits from an endless stream; each is a function of its index alone.

    Both factors are uniform over the primes of bits / 2 bits. Up to 24 bits they come from a table, above from random
    candidates that pass the Miller-Rabin test. Invalid draws are resampled, never moved to a neighbouring prime.

    Args:
        bits, seed, stream: identify the stream.
        indices: (count,) int64, from 0: positions in the stream.
        attempt: another attempt resamples them.

    Returns:
        The semiprimes, and a mask (count,) of failed draws: fewer than two primes, or a product one bit short.
    """
    from_table = bits // 2 <= MAX_TABLE_BITS
    numbers = uniforms_of(seed, f"{stream}, attempt {attempt}", indices, 4 if from_table else CANDIDATES).numpy()
    first, second = _pairs_of_table(numbers, bits) if from_table else _pairs_by_rejection(numbers, bits // 2)
    products = first * second
    missing = products < np.uint64(1 << (bits - 1))  # the product is 0 if a factor is missing
    smaller = np.minimum(first, second).astype(np.int64)
    return Semiprimes(torch.from_numpy(products.view(np.int64)), torch.from_numpy(smaller)), torch.from_numpy(missing)


Primes = NDArray[np.uint64]


@lru_cache(maxsize=1)
def _table(bits: int) -> Primes:
    """All primes of exactly `bits` bits."""
    primes = primes_below(1 << bits)
    return primes[primes >= 1 << (bits - 1)].numpy().astype(np.uint64)


def _pairs_of_table(numbers: NDArray[np.float64], bits: int) -> tuple[Primes, Primes]:
    """Two primes for each row of four uniforms in [0, 1): the second pair if the product of the first is short."""
    table = _table(bits // 2)
    first, second, third, fourth = (table[(column * len(table)).astype(np.int64)] for column in numbers.T)
    short = first * second < np.uint64(1 << (bits - 1))
    return np.where(short, third, first), np.where(short, fourth, second)


def _pairs_by_rejection(numbers: NDArray[np.float64], bits: int) -> tuple[Primes, Primes]:
    """The first two primes among the candidates given by each row of uniforms in [0, 1); 0 for a missing prime.

    Candidates are uniform over the numbers of `bits` bits without a prime factor up to 13. One in four is a prime.
    """
    residues = np.flatnonzero(np.gcd(np.arange(WHEEL), WHEEL) == 1).astype(np.uint64)
    lowest, end = (1 << (bits - 1)) // WHEEL, (1 << bits) // WHEEL + 1
    found = np.zeros((2, len(numbers)), dtype=np.uint64)
    at_once = CANDIDATES if len(numbers) <= FEW else 1  # few rows: save numpy calls; many rows: save tests
    for start in range(0, CANDIDATES, at_once):
        rows = np.flatnonzero(found[1] == 0)
        places = (numbers[rows, start : start + at_once] * ((end - lowest) * len(residues))).astype(np.int64)
        turns, places = np.divmod(places, len(residues))
        candidates = (turns + lowest).astype(np.uint64) * np.uint64(WHEEL) + residues[places]
        passed = candidates >> np.uint64(bits - 1) == 1  # the wheel's first and last turns exceed the range
        passed[passed] = are_prime(candidates[passed])
        ranks = passed.cumsum(1) + (found[0, rows] > 0)[:, None]
        for slot in (0, 1):
            row, column = np.nonzero(passed & (ranks == slot + 1))
            found[slot, rows[row]] = candidates[row, column]
    return found[0], found[1]


@dataclass(frozen=True)
class SemiprimeSet:
    """One of the sets S1 to S7.

    bits: bits of the largest number.
    factor_bits: bits of the largest smaller factor.
    train_proportion: proportion of the numbers for training and validation together.
    description: text for titles.
    items: all semiprimes of the set; None for S7, which is sampled.
    """

    name: SetName
    bits: int
    factor_bits: int
    train_proportion: float
    description: str
    items: Semiprimes | None


BITS: dict[str, tuple[int, ...]] = {"S6": (20, 24, 28, 32), "S7": (48, 64)}
PLAIN_SETS = {  # description, limit, and further arguments of semiprimes_below
    "S1": ("semiprimes up to 10,000", 10_001, {}),
    "S2": ("odd semiprimes up to 10,000", 10_001, {"odd": True}),
    "S3": ("semiprimes with both factors below 128", 1 << 14, {"factors_below": 128}),
    "S4": ("semiprimes below 2^14", 1 << 14, {}),
    "S5": ("odd semiprimes up to 1,000,000", 1_000_001, {"odd": True}),
}


def semiprime_set(name: SetName, *, bits: int | None, squares: bool) -> SemiprimeSet:
    """The set with the given name.

    Args:
        name: S1 to S7.
        bits: bits of the numbers of S6 or S7 (None: the fewest); None for all other sets.
        squares: whether to include p = q.

    Raises:
        ValueError: the set has no numbers of that many bits.
    """
    allowed = BITS.get(name, ())
    if bits is not None and bits not in allowed:
        raise ValueError(f"data.bits={bits} with data.set={name}; allowed: {', '.join(map(str, (*allowed, 'null')))}")
    with_squares = "with" if squares else "without"
    if name == "S7":
        bits = bits or allowed[0]
        description = f"S7, semiprimes of {bits} bits with factors of {bits // 2}, drawn on the fly"
        return SemiprimeSet(name, bits, bits // 2, 0.8, description, None)
    if name == "S6":
        bits = bits or allowed[0]
        items = balanced_semiprimes(bits, squares=squares)
        text = f"the {len(items.numbers):,} semiprimes of {bits} bits with factors of {bits // 2}"
    else:
        text, limit, options = PLAIN_SETS[name]
        items = semiprimes_below(limit, squares=squares, **options)
        text = f"the {len(items.numbers):,} {text}"
    bits, factor_bits = (int(part.max()).bit_length() for part in items)
    proportion = 0.1 if name == "S5" else 0.8
    return SemiprimeSet(name, bits, factor_bits, proportion, f"{name}, {text}, {with_squares} squares", items)
