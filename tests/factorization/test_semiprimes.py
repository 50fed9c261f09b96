import numpy as np
import pytest
import torch

from factorization.primes import is_prime, primes_below
from factorization.semiprimes import (
    _pairs_by_rejection,
    balanced_semiprimes,
    drawn_semiprimes,
    semiprime_set,
    semiprimes_below,
    unsigned,
)
from seqlab.randomness import uniforms


def brute_force(limit, keep=lambda p, q: True):
    """Semiprimes below a limit by dividing each number: (number, smaller factor), sorted."""
    found = []
    for number in range(4, limit):
        p = next(divisor for divisor in range(2, number + 1) if number % divisor == 0)
        if p < number and is_prime(number // p) and keep(p, number // p):
            found.append((number, p))
    return found


def pairs(semiprimes):
    return sorted(zip(semiprimes.numbers.tolist(), semiprimes.factors.tolist(), strict=True))


@pytest.mark.parametrize("limit", [4, 5, 9, 10, 300, 1500])
def test_equal_to_brute_force(limit):
    assert pairs(semiprimes_below(limit)) == brute_force(limit)
    assert pairs(semiprimes_below(limit, odd=True)) == brute_force(limit, lambda p, q: p > 2)
    assert pairs(semiprimes_below(limit, squares=False)) == brute_force(limit, lambda p, q: p != q)
    assert pairs(semiprimes_below(limit, factors_below=12)) == brute_force(limit, lambda p, q: q < 12)


@pytest.mark.parametrize("bits", [6, 8, 10])
def test_balanced_equal_to_brute_force(bits):
    def half(p, q):
        return p.bit_length() == q.bit_length() == bits // 2 and (p * q).bit_length() == bits

    assert pairs(balanced_semiprimes(bits)) == brute_force(1 << bits, half)
    assert pairs(balanced_semiprimes(bits, squares=False)) == brute_force(1 << bits, lambda p, q: p != q and half(p, q))


@pytest.mark.parametrize(
    ("name", "squares", "size"),
    [("S1", True, 2625), ("S1", False, 2600), ("S2", True, 1956), ("S2", False, 1932), ("S3", True, 496),
     ("S4", True, 4192)],
)  # fmt: skip
def test_published_sizes(name, squares, size):
    found = semiprime_set(name, bits=None, squares=squares)
    assert found.items is not None
    assert len(found.items.numbers) == size == len(torch.unique(found.items.numbers))
    assert f"{size:,}" in found.description
    assert (found.bits, found.factor_bits) == (14, 7)


def test_s3_is_a_slice_of_s4():
    s3, s4 = (semiprime_set(name, bits=None, squares=True).items for name in ("S3", "S4"))
    slice_of_s4 = s4.where(s4.numbers // s4.factors < 128)
    assert pairs(slice_of_s4) == pairs(s3)


def test_bits_that_a_set_does_not_have_are_refused():
    with pytest.raises(ValueError, match=r"data.bits=20 with data.set=S3; allowed: null"):
        semiprime_set("S3", bits=20, squares=True)
    with pytest.raises(ValueError, match=r"data.bits=64 with data.set=S6; allowed: 20, 24, 28, 32, null"):
        semiprime_set("S6", bits=64, squares=True)


@pytest.mark.parametrize("bits", [48, 64])
def test_drawn_semiprimes_are_exact(bits):
    drawn, missing = drawn_semiprimes(bits, seed=1, stream="train", indices=torch.arange(200))
    assert 0 < int(missing.sum()) < 120
    kept = drawn.where(~missing)
    for number, factor in zip(unsigned(kept.numbers).tolist(), kept.factors.tolist(), strict=True):
        assert number.bit_length() == bits
        assert number % factor == 0
        assert is_prime(factor) and is_prime(number // factor)
        assert factor <= number // factor
        assert factor.bit_length() == (number // factor).bit_length() == bits // 2
    assert len(torch.unique(kept.numbers)) == len(kept.numbers)


@pytest.mark.parametrize("bits", [48, 64])
def test_a_drawn_sample_is_a_function_of_its_index(bits):
    def drawn(indices, seed=1, stream="train", attempt=0):
        return drawn_semiprimes(bits, seed=seed, stream=stream, indices=indices, attempt=attempt)[0].numbers

    whole = drawn(torch.arange(40))
    assert torch.equal(drawn(torch.tensor([25, 3, 17])), whole[[25, 3, 17]])
    for other in (drawn(torch.arange(40), stream="test"), drawn(torch.arange(40), attempt=1)):
        assert not torch.isin(other[other != 0], whole).any()


def chi_squared(counts, shares):
    expected = shares / shares.sum() * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def test_draws_from_the_table_are_uniform_over_pairs():
    every = balanced_semiprimes(12)
    drawn, missing = drawn_semiprimes(12, seed=1, stream="train", indices=torch.arange(20_000))
    places = torch.searchsorted(every.numbers.sort().values, drawn.where(~missing).numbers)
    ways = torch.where(every.numbers == every.factors**2, 1.0, 2.0)[every.numbers.argsort()]  # p q and q p
    counts = torch.bincount(places, minlength=len(ways))
    assert len(ways) == 18
    assert chi_squared(counts, ways) < 40.8  # 17 degrees of freedom, p = 0.001


def test_draws_by_rejection_are_uniform_over_primes():
    """The next prime after a uniform number would be one that follows a long gap."""
    primes = primes_below(1 << 16)
    primes = primes[primes >= 1 << 15]
    numbers = uniforms(1, "test", 0, 8000, 16).numpy()
    found = torch.from_numpy(np.concatenate(_pairs_by_rejection(numbers, 16)).astype(np.int64))
    places = torch.searchsorted(primes, found[found > 0])
    assert torch.equal(primes[places], found[found > 0])
    by_size = torch.bincount(places * 32 // len(primes), minlength=32)
    shares = torch.bincount(torch.arange(len(primes)) * 32 // len(primes)).double()
    assert chi_squared(by_size, shares) < 61.1  # 31 degrees of freedom, p = 0.001
    gaps = primes.diff(prepend=torch.tensor([32749])) // 8  # 32749 is the last prime of 15 bits
    by_gap, shares = torch.bincount(gaps[places].clamp(max=4)), torch.bincount(gaps.clamp(max=4)).double()
    assert chi_squared(by_gap, shares) < 18.5  # 4 degrees of freedom, p = 0.001
