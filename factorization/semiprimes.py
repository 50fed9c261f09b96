"""The sets of semiprimes S1 to S7: products of two primes, N = p q with p <= q, enumerated or drawn.

Numbers are int64 tensors. One of 64 bits does not fit a signed word: there the tensor holds its bit pattern, and
`unsigned` gives the number back.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from factorization.primes import are_prime, primes_below
from seqlab.randomness import uniforms

SetName = Literal["S1", "S2", "S3", "S4", "S5", "S6", "S7"]
CANDIDATES = 16  # odd numbers that a draw of one prime looks at; a row without a prime is drawn anew

FEW = 256  # rows


class Semiprimes(NamedTuple):
    """Numbers (count,) int64 and the smaller prime factor of each, (count,) int64."""

    numbers: Tensor
    factors: Tensor

    def where(self, mask: Tensor) -> "Semiprimes":
        """Those that a mask (count,) selects, or those at some places."""
        return Semiprimes(self.numbers[mask], self.factors[mask])


def unsigned(numbers: Tensor) -> NDArray[np.uint64]:
    """int64 bit patterns as the unsigned numbers that they stand for."""
    return numbers.cpu().numpy().view(np.uint64)


def semiprimes_below(
    limit: int, *, odd: bool = False, squares: bool = True, factors_below: int | None = None
) -> Semiprimes:
    """All N = p q < limit with primes p <= q, by ascending p, then q.

    Args:
        limit: exclusive.
        odd: without p = 2.
        squares: with p = q.
        factors_below: both factors below this.

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
    # p q >= 2^(bits - 1): the least q for each p, and never below p
    least = ((1 << (bits - 1)) + primes - 1) // primes
    first = torch.maximum(torch.searchsorted(primes, least), torch.arange(len(primes)) + (not squares))
    return _pairs(primes, primes, first, torch.full_like(first, len(primes)))


def _pairs(primes: Tensor, smaller: Tensor, first: Tensor, stop: Tensor) -> Semiprimes:
    """Each smaller[i] times primes[first[i]] .. primes[stop[i] - 1], without a loop."""
    counts = (stop - first).clamp(min=0)
    factors = smaller.repeat_interleave(counts)
    starts = counts.cumsum(0) - counts
    places = torch.arange(len(factors)) + (first - starts).repeat_interleave(counts)
    return Semiprimes(factors * primes[places], factors)


def drawn_semiprimes(
    bits: int, *, seed: int, stream: str, start: int, count: int, attempt: int = 0, rows: Tensor | None = None
) -> tuple[Semiprimes, Tensor]:
    """Semiprimes start .. start + count - 1 of an endless stream, of exactly `bits` bits, balanced.

    Each factor is the first prime (Miller-Rabin) among uniformly drawn odd numbers of bits / 2 bits.

    Args:
        bits, seed, stream, start, count: which.
        attempt: another one draws them anew.
        rows: places in 0 .. count - 1: only these are made (None: all).

    Returns:
        The semiprimes, and which of them (count,) are none yet: no prime among the candidates, or a product that is
        one bit short.
    """
    half = bits // 2
    numbers = uniforms(seed, stream, start, count, 2 * CANDIDATES, attempt=attempt)
    numbers = (numbers if rows is None else numbers[rows]).numpy().reshape(-1, CANDIDATES)
    candidates = ((numbers + 1) * (1 << (half - 1))).astype(np.uint64) | np.uint64(1)
    chosen = _first_primes(candidates).reshape(-1, 2)
    products = chosen[:, 0] * chosen[:, 1]
    missing = products < np.uint64(1 << (bits - 1))  # 0 where a factor is missing
    smaller = torch.from_numpy(chosen.min(1).astype(np.int64))
    return Semiprimes(torch.from_numpy(products.view(np.int64)), smaller), torch.from_numpy(missing)


def _first_primes(candidates: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The first prime of each row, 0 where there is none; of many rows it looks no further than it must."""
    if len(candidates) <= FEW:  # one call for all of them: numpy's own costs count
        primes = are_prime(candidates.ravel()).reshape(candidates.shape)
        first = np.take_along_axis(candidates, primes.argmax(1)[:, None], 1)[:, 0]
        return np.where(primes.any(1), first, np.uint64(0))
    found = np.zeros(len(candidates), dtype=np.uint64)
    for column in range(candidates.shape[1]):
        rows = np.flatnonzero(found == 0)
        if len(rows) == 0:
            break
        tested = candidates[rows, column]
        found[rows] = np.where(are_prime(tested), tested, np.uint64(0))
    return found


@dataclass(frozen=True)
class Family:
    """One of the sets.

    bits: of the largest number.
    factor_bits: of the largest smaller factor.
    train_share: of the numbers, for training and validation together.
    description: for titles.
    items: all of them; None for S7, which is drawn.
    """

    name: SetName
    bits: int
    factor_bits: int
    train_share: float
    description: str
    items: Semiprimes | None


BITS: dict[str, tuple[int, ...]] = {"S6": (20, 24, 28, 32), "S7": (48, 64)}
PLAIN_SETS = {  # description, limit, and what else semiprimes_below is told
    "S1": ("semiprimes up to 10,000", 10_001, {}),
    "S2": ("odd semiprimes up to 10,000", 10_001, {"odd": True}),
    "S3": ("semiprimes with both factors below 128", 1 << 14, {"factors_below": 128}),
    "S4": ("semiprimes below 2^14", 1 << 14, {}),
    "S5": ("odd semiprimes up to 1,000,000", 1_000_001, {"odd": True}),
}


def family(name: SetName, *, bits: int | None, squares: bool) -> Family:
    """The set of that name.

    Args:
        name: S1 to S7.
        bits: of the numbers of S6 or S7 (None: the fewest); None for all others.
        squares: whether p = q counts.

    Raises:
        ValueError: for bits that the set does not have.
    """
    allowed = BITS.get(name, ())
    if bits is not None and bits not in allowed:
        raise ValueError(f"data.bits={bits} with data.set={name}; allowed: {', '.join(map(str, (*allowed, 'null')))}")
    with_squares = "with" if squares else "without"
    if name == "S7":
        bits = bits or allowed[0]
        description = f"S7, semiprimes of {bits} bits with factors of {bits // 2}, drawn on the fly"
        return Family(name, bits, bits // 2, 0.8, description, None)
    if name == "S6":
        bits = bits or allowed[0]
        items = balanced_semiprimes(bits, squares=squares)
        text = f"the {len(items.numbers):,} semiprimes of {bits} bits with factors of {bits // 2}"
    else:
        text, limit, options = PLAIN_SETS[name]
        items = semiprimes_below(limit, squares=squares, **options)
        text = f"the {len(items.numbers):,} {text}"
    bits, factor_bits = (int(part.max()).bit_length() for part in items)
    share = 0.1 if name == "S5" else 0.8
    return Family(name, bits, factor_bits, share, f"{name}, {text}, {with_squares} squares", items)
