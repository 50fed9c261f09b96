"""Primes: a sieve, a deterministic Miller-Rabin test for arrays, and the smallest factor of one number."""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# No composite number below 3,317,044,064,679,887,385,961,981 passes for all of these (Sorenson & Webster 2015).
WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
# No composite number below 4,759,123,141 passes for all of these (Jaeschke 1993).
WITNESSES_32_BITS = (2, 7, 61)
BLOCK = 8192  # numbers tested together, so that they stay in the CPU cache
SMALL_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)


@lru_cache(maxsize=8)
def primes_below(limit: int) -> Tensor:
    """All primes below `limit`, ascending, int64 (Eratosthenes).

    >>> primes_below(20).tolist()
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    is_prime = torch.ones(max(limit, 2), dtype=torch.bool)
    is_prime[:2] = False
    for number in range(2, math.isqrt(max(limit - 1, 0)) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = False
    return is_prime[:limit].nonzero().flatten()


def are_prime(numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of the given numbers below 2^32 are prime, exactly (Miller 1976, Rabin 1980).

    The product of two residues is below 2^64, so nothing overflows uint64.

    Raises:
        ValueError: a number is 2^32 or more.

    >>> are_prime(np.array([1, 2, 61, 2047, 4294967291], dtype=np.uint64)).tolist()
    [False, True, True, False, True]
    """
    if numbers.size and int(numbers.max()) >= 2**32:
        raise ValueError(f"are_prime takes numbers below 2^32, not {numbers.max()}")
    result = np.empty(numbers.shape, dtype=bool)
    for start in range(0, len(numbers), BLOCK):
        result[start : start + BLOCK] = _block_is_prime(numbers[start : start + BLOCK])
    return result


def _block_is_prime(numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
    result = np.zeros(numbers.shape, dtype=bool)
    places = np.flatnonzero(numbers > 1)
    for prime in SMALL_PRIMES:  # this removes most composites, and a division costs less than a squaring
        left = numbers[places]
        divided = left % np.uint64(prime) == 0
        result[places[divided & (left == prime)]] = True
        places = places[~divided]
    for witness in WITNESSES_32_BITS:
        places = places[_passes(numbers[places], witness)]
    result[places] = True
    return result


def _passes(odd: NDArray[np.uint64], witness: int) -> NDArray[np.bool_]:
    """Whether odd numbers, not divisible by the witness, are strong probable primes to this base.

    With odd - 1 = d 2^s and d odd: witness^d = 1, or witness^(d 2^r) = -1 for some r < s, modulo the number.
    """
    minus_one = odd - np.uint64(1)
    low_bit = minus_one & ~(minus_one - np.uint64(1))  # 2^s
    power = _powers(witness, minus_one // low_bit, odd)
    passed = (power == 1) | (power == minus_one)
    places = np.flatnonzero(~passed)
    for rounds in range(1, 32):
        places = places[low_bit[places] >> np.uint64(rounds) > 1]  # r = rounds < s
        if len(places) == 0:
            break
        power[places] = power[places] * power[places] % odd[places]
        passed[places] = power[places] == minus_one[places]
        places = places[~passed[places]]
    return passed


def _powers(base: int, exponents: NDArray[np.uint64], moduli: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """base^exponent modulo moduli below 2^32, for exponents below 2^31.

    Processes the exponents from the top in groups of bits, with a table of powers of the base below 2^32. For base 2 a
    group has five bits.
    """
    width = max(bits for bits in range(1, 6) if base ** (2**bits - 1) < 2**32)
    table = np.array([base**exponent for exponent in range(2**width)], dtype=np.uint64)
    digits = exponents.astype(np.int64)
    first = 31 // width * width
    power = table[digits >> first] % moduli
    for place in range(first - width, -1, -width):
        for _ in range(width):
            np.multiply(power, power, out=power)
            np.remainder(power, moduli, out=power)
        np.multiply(power, table[digits >> place & (2**width - 1)], out=power)
        np.remainder(power, moduli, out=power)
    return power


def is_prime(number: int) -> bool:
    """Whether one number below 2^81 is prime, exactly.

    >>> [number for number in range(30) if is_prime(number)]
    [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    """
    if number < 2:
        return False
    for witness in WITNESSES:
        if number % witness == 0:
            return number == witness
    low_bit = (number - 1) & -(number - 1)
    for witness in WITNESSES:
        power = pow(witness, (number - 1) // low_bit, number)
        chain = (pow(power, 1 << place, number) for place in range(low_bit.bit_length() - 1))
        if power != 1 and number - 1 not in chain:
            return False
    return True


def smallest_factor(number: int) -> int:
    """The smallest prime factor of a number from 2 to 2^64 - 1.

    Uses trial division by primes below 2^12, then Pollard's rho (1975).

    >>> smallest_factor(8633), smallest_factor(97), smallest_factor(4294967291 * 4294967279)
    (89, 97, 4294967279)
    """
    for prime in primes_below(1 << 12).tolist():
        if number % prime == 0:
            return prime
    if is_prime(number):
        return number
    factor = _any_factor(number)
    return min(smallest_factor(factor), smallest_factor(number // factor))


def _any_factor(composite: int) -> int:
    """A proper factor of an odd composite number by Pollard's rho: x -> x^2 + c cycles sooner modulo a factor."""
    offset = 1
    while True:
        slow = fast = 2
        factor = 1
        while factor == 1:
            slow = (slow * slow + offset) % composite
            fast = (fast * fast + offset) % composite
            fast = (fast * fast + offset) % composite
            factor = math.gcd(slow - fast, composite)
        if factor != composite:
            return factor
        offset += 1
