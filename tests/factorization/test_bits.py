import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factorization.bits import from_bits, num_digits, residue_angles, to_bits, to_digits

NUMBERS_64 = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8)


def pattern(numbers):
    """Unsigned 64-bit numbers as a tensor of signed words."""
    return torch.tensor([number - 2**64 if number >= 2**63 else number for number in numbers])


@given(NUMBERS_64)
def test_bits_of_64_bit_numbers(numbers):
    bits = to_bits(pattern(numbers), 64)
    assert ["".join(map(str, row)) for row in bits.tolist()] == [f"{number:064b}" for number in numbers]
    assert torch.equal(from_bits(bits), pattern(numbers))


@given(NUMBERS_64, st.integers(2, 256), st.sampled_from(["msb", "lsb"]))
def test_digits_give_the_number_back(numbers, base, order):
    rows = to_digits(pattern(numbers), bits=64, base=base, order=order).tolist()
    for number, digits in zip(numbers, rows, strict=True):
        assert all(0 <= digit < base for digit in digits)
        most_first = digits if order == "msb" else digits[::-1]
        value = 0
        for digit in most_first:
            value = value * base + digit
        assert value == number


@pytest.mark.parametrize("base", [2, 3, 10, 256])
@pytest.mark.parametrize("bits", [1, 8, 14, 64])
def test_as_many_digits_as_needed(bits, base):
    digits = num_digits(bits, base)
    assert base ** (digits - 1) < 2**bits <= base**digits or digits == 1


def test_residues_of_64_bit_numbers():
    number = 2**64 - 59
    angles = residue_angles(pattern([number]), torch.tensor([2, 7, 4294967291]))[0]
    for row, modulus in zip(angles.tolist(), (2, 7, 4294967291), strict=True):
        angle = 2 * math.pi * (number % modulus) / modulus
        assert row == pytest.approx([math.cos(angle), math.sin(angle)], abs=1e-6)
