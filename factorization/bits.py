"""Encodings of numbers for a network: bits, digits, residues."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from factorization.semiprimes import unsigned

Order = Literal["msb", "lsb"]  # most or least significant first


def to_bits(numbers: Tensor, num_bits: int) -> Tensor:
    """The bits of numbers: (...,) int64 -> (..., num_bits) int64 zeros and ones, most significant first.

    >>> to_bits(torch.tensor([5, 6]), 4).tolist()
    [[0, 1, 0, 1], [0, 1, 1, 0]]
    """
    places = torch.arange(num_bits - 1, -1, -1, device=numbers.device)
    return numbers.unsqueeze(-1) >> places & 1


def from_bits(bits: Tensor) -> Tensor:
    """The inverse of `to_bits`: (..., num_bits) zeros and ones -> (...,) int64.

    >>> from_bits(torch.tensor([[0, 1, 0, 1]])).tolist()
    [5]
    """
    places = torch.arange(bits.shape[-1] - 1, -1, -1, device=bits.device)
    return (bits.long() << places).sum(-1)


def num_digits(bits: int, base: int) -> int:
    """The number of digits in `base` that fits every number of at most `bits` bits.

    >>> num_digits(14, 2), num_digits(14, 10), num_digits(64, 10)
    (14, 5, 20)
    """
    digits, power = 1, base
    while power < 1 << bits:
        digits, power = digits + 1, power * base
    return digits


def to_digits(numbers: Tensor, *, bits: int, base: int = 2, order: Order = "msb") -> Tensor:
    """The digits of numbers with at most `bits` bits: (count,) -> (count, digits) int64 in 0 .. base - 1.

    >>> to_digits(torch.tensor([8633]), bits=14, base=10).tolist()
    [[0, 8, 6, 3, 3]]
    >>> to_digits(torch.tensor([6]), bits=3, order="lsb").tolist()
    [[0, 1, 1]]
    """
    if base == 2:  # faster, without a loop over digits
        both = to_bits(numbers, bits)
        return both.flip(1) if order == "lsb" else both
    left = unsigned(numbers)
    digits = []
    for _ in range(num_digits(bits, base)):
        digits.append((left % np.uint64(base)).astype(np.int64))
        left = left // np.uint64(base)
    return torch.from_numpy(np.stack(digits if order == "lsb" else digits[::-1], axis=1))


def residue_angles(numbers: Tensor, moduli: Tensor) -> Tensor:
    """Residues as angles: (count,) -> (count, moduli, 2) float32, cosine and sine of 2 pi N / m. (1, 0) if m divides N.

    >>> residue_angles(torch.tensor([15]), torch.tensor([3, 4])).round(decimals=3).tolist()
    [[[1.0, 0.0], [0.0, -1.0]]]
    """
    residues = unsigned(numbers)[:, None] % moduli.numpy().astype(np.uint64)
    angles = 2 * torch.pi * torch.from_numpy(residues.astype(np.int64)) / moduli
    return torch.stack([angles.cos(), angles.sin()], -1).float()
