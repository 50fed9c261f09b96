"""Functions of one integer: divisors, primes, digits, partitions, multiples of irrationals.

sequences/form.py builds endless sequences from such functions; sequences/named_forms.py lists them.
"""

from itertools import count, islice
from math import gcd, isqrt

# multiplied by SCALE and rounded down: far more digits than any term here needs
PI = 3141592653589793238462643383279502884197169399375105820974944
E = 2718281828459045235360287471352662497757247093699959574966967
SCALE = 10**60


def divisors(n: int) -> list[int]:
    """The divisors of n >= 1, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return [d for d in range(1, n + 1) if n % d == 0]


def factors(n: int) -> list[int]:
    """The prime factors of n >= 1 with multiplicity, ascending.

    >>> factors(12)
    [2, 2, 3]
    """
    found, p = [], 2
    while n > 1:
        while n % p == 0:
            found.append(p)
            n //= p
        p += 1
    return found


def is_prime(n: int) -> bool:
    """Whether n has exactly two divisors."""
    return n > 1 and all(n % d for d in range(2, isqrt(n) + 1))


def prime(n: int) -> int:
    """The n-th prime, counted from 1."""
    return next(islice(filter(is_prime, count(2)), n - 1, None))


def is_squarefree(n: int) -> bool:
    """Whether no prime divides n >= 1 twice."""
    return len(set(factors(n))) == len(factors(n))


def is_sum_of_two_squares(n: int) -> bool:
    """Whether n = x^2 + y^2 for integers x and y; either may be 0."""
    return any(isqrt(n - x * x) ** 2 == n - x * x for x in range(isqrt(n) + 1))


def carmichael(n: int) -> int:
    """Carmichael's function: the least e >= 1 with x^e = 1 mod n for all x coprime to n.

    >>> carmichael(8), carmichael(9)
    (2, 6)
    """
    coprime = [x for x in range(1, n + 1) if gcd(x, n) == 1]
    return next(e for e in range(1, n + 1) if all(pow(x, e, n) == 1 % n for x in coprime))


def totient(n: int) -> int:
    """Euler's totient: how many of 1..n are coprime to n."""
    return sum(gcd(i, n) == 1 for i in range(1, n + 1))


def digits(n: int) -> list[int]:
    """The decimal digits of n, most significant first."""
    return [int(digit) for digit in str(n)]


def ruler(n: int) -> int:
    """The exponent of 2 in n >= 1."""
    return (n & -n).bit_length() - 1


def inverse_gray(n: int) -> int:
    """The number whose Gray code is n."""
    return n ^ inverse_gray(n >> 1) if n else 0


def partitions(n: int, parts: list[int], distinct: bool = False) -> int:
    """The number of ways to write n as a sum of the given parts, regardless of order.

    >>> partitions(5, [1, 2, 3, 4, 5]), partitions(5, [1, 2, 3, 4, 5], distinct=True)
    (7, 3)
    """
    ways = [1] + [0] * n
    for part in parts:
        totals = range(part, n + 1)
        for total in reversed(totals) if distinct else totals:
            ways[total] += ways[total - part]
    return ways[n]


def collatz_steps(n: int) -> int:
    """The number of Collatz steps (n/2 or 3n + 1) from n >= 1 to 1."""
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


def is_happy(n: int) -> bool:
    """Whether repeated sums of squared digits lead from n >= 1 to 1. All other numbers reach 4."""
    while n not in (1, 4):
        n = sum(digit**2 for digit in digits(n))
    return n == 1


def stern(n: int) -> int:
    """Term n of Stern's diatomic sequence: s(2n) = s(n), s(2n + 1) = s(n) + s(n + 1)."""
    if n < 2:
        return n
    return stern(n // 2) + (stern(n // 2 + 1) if n % 2 else 0)


def landau(n: int) -> int:
    """The largest order of a permutation of n elements: the largest product of coprime prime powers with sum <= n."""
    best = {0: 1}
    for p in filter(is_prime, range(2, n + 1)):
        for total, product in list(best.items()):
            power = p
            while total + power <= n:
                best[total + power] = max(best.get(total + power, 1), product * power)
                power *= p
    return max(best.values())


def golden_floor(n: int) -> int:
    """floor(n (1 + sqrt 5) / 2), exactly."""
    return (n + isqrt(5 * n * n)) // 2


def all_parts(n: int) -> list[int]:
    """1..n."""
    return list(range(1, n + 1))


def bits(n: int) -> str:
    """The binary digits of n as text."""
    return f"{n:b}"


def triangle_row(n: int) -> tuple[int, int]:
    """Row and column, from 0, of entry n of a triangle read by rows."""
    row = (isqrt(8 * n + 1) - 1) // 2
    return row, n - row * (row + 1) // 2
