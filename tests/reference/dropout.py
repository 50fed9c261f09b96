"""The dropout of the native kernels the plain way: a hash of (seed, row, column), in Python's integers."""

import torch
from torch import Tensor

BITS_32, BITS_64 = 2**32 - 1, 2**64 - 1


def row_key(seed: int, row: int) -> int:
    """splitmix64 of seed and row, the upper 32 bits."""
    z = (seed + (row + 1) * 0x9E3779B97F4A7C15) & BITS_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & BITS_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & BITS_64
    return (z ^ (z >> 31)) >> 32


def element_hash(key: int, column: int) -> int:
    """32 bits for one element of a row."""
    h = (column * 0x9E3779B9 + key) & BITS_32
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & BITS_32
    return ((h ^ (h >> 15)) * 0x846CA68B) & BITS_32


def dropout_mask(seed: int, rows: range, num_columns: int, probability: float) -> Tensor:
    """0 for elements that are dropped, else 1 / (1 - probability), (rows, columns) float64."""
    if not probability:
        return torch.ones(len(rows), num_columns, dtype=torch.float64)
    threshold = round(probability * 2**32)
    keys = [row_key(seed, row) for row in rows]
    kept = [[element_hash(key, column) >= threshold for column in range(num_columns)] for key in keys]
    return torch.tensor(kept).double() * (2**32 / (2**32 - threshold))
