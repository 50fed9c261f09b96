import numpy as np
import pytest

from factorization.primes import are_prime, is_prime, primes_below, smallest_factor


def brute_force(number):
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def test_the_sieve_equals_brute_force():
    for limit in (0, 1, 2, 3, 4, 5, 25, 26, 1000):
        assert primes_below(limit).tolist() == [number for number in range(limit) if brute_force(number)]


def test_miller_rabin_equals_brute_force():
    numbers = np.arange(20_000, dtype=np.uint64)
    assert np.flatnonzero(are_prime(numbers)).tolist() == primes_below(20_000).tolist()
    assert [number for number in range(5000) if is_prime(number)] == primes_below(5000).tolist()


def test_strong_pseudoprimes_are_composite():
    """To base 2: 2047 ...; to 2, 3 and 5: 25326001; to 2, 3, 5 and 7: 3215031751. Carmichael: 561, 4294901761."""
    composite = [2047, 3277, 4033, 25326001, 3215031751, 561, 4294901761, 65535 * 65537 % 2**32]
    assert not are_prime(np.array(composite, dtype=np.uint64)).any()
    assert not any(map(is_prime, composite))
    assert not is_prime(341550071728321)  # passes 2, 3, 5, 7, 11, 13 and 17


def test_no_overflow_near_2_32():
    numbers = np.arange(2**32 - 3000, 2**32, dtype=np.uint64)
    assert are_prime(numbers).tolist() == [is_prime(int(number)) for number in numbers]
    assert are_prime(np.array([4294967291], dtype=np.uint64)).all()  # the largest prime below 2^32
    with pytest.raises(ValueError, match="4294967296"):
        are_prime(np.array([2**32], dtype=np.uint64))


@pytest.mark.parametrize("number", [4, 8633, 9409, 2 * 4294967291, 4093 * 4099, 4099 * 4099, 65537 * 4294967291])
def test_smallest_factor(number):
    factor = smallest_factor(number)
    assert number % factor == 0
    assert is_prime(factor)
    assert is_prime(number // factor)
    assert factor * factor <= number


def test_smallest_factor_of_a_prime_and_of_three_factors():
    assert smallest_factor(4294967291) == 4294967291
    assert smallest_factor(4099 * 4111 * 4127) == 4099
