import pytest
import torch

from factorization.primes import is_prime
from factorization.semiprimes import balanced_semiprimes, drawn_semiprimes, family, semiprimes_below, unsigned


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
    found = family(name, bits=None, squares=squares)
    assert found.items is not None
    assert len(found.items.numbers) == size == len(torch.unique(found.items.numbers))
    assert f"{size:,}" in found.description
    assert (found.bits, found.factor_bits) == (14, 7)


def test_s3_is_a_slice_of_s4():
    s3, s4 = (family(name, bits=None, squares=True).items for name in ("S3", "S4"))
    slice_of_s4 = s4.where(s4.numbers // s4.factors < 128)
    assert pairs(slice_of_s4) == pairs(s3)


def test_bits_that_a_set_does_not_have_are_refused():
    with pytest.raises(ValueError, match=r"data.bits=20 with data.set=S3; allowed: null"):
        family("S3", bits=20, squares=True)
    with pytest.raises(ValueError, match=r"data.bits=64 with data.set=S6; allowed: 20, 24, 28, 32, null"):
        family("S6", bits=64, squares=True)


@pytest.mark.parametrize("bits", [48, 64])
def test_drawn_semiprimes_are_exact(bits):
    drawn, missing = drawn_semiprimes(bits, seed=1, stream="train", start=0, count=200)
    assert 0 < int(missing.sum()) < 200
    kept = drawn.where(~missing)
    for number, factor in zip(unsigned(kept.numbers).tolist(), kept.factors.tolist(), strict=True):
        assert number.bit_length() == bits
        assert number % factor == 0
        assert is_prime(factor) and is_prime(number // factor)
        assert factor <= number // factor
        assert factor.bit_length() == bits // 2
    assert len(torch.unique(kept.numbers)) == len(kept.numbers)


def test_a_drawn_sample_does_not_depend_on_its_block():
    whole, _ = drawn_semiprimes(48, seed=1, stream="train", start=0, count=40)
    part, _ = drawn_semiprimes(48, seed=1, stream="train", start=17, count=9)
    other, _ = drawn_semiprimes(48, seed=1, stream="test", start=0, count=40)
    again, _ = drawn_semiprimes(48, seed=1, stream="train", start=0, count=40, attempt=1)
    assert torch.equal(whole.numbers[17:26], part.numbers)
    assert not torch.equal(whole.numbers, other.numbers)
    assert not torch.equal(whole.numbers, again.numbers)
