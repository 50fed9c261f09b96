"""Stateless random numbers: every value is a function of (seed, stream, index).

So sample i of a split can be generated without its predecessors, in blocks of any size, by any worker, and a resumed
run continues exactly the stream of the interrupted run.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed word


def derived_seed(*parts: int | str) -> int:
    """Derive a 63-bit seed from a seed and names or numbers. Stable across machines and versions.

    >>> derived_seed(1, "train", 0) == derived_seed(1, "train", 0) != derived_seed(1, "train", 1)
    True
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def uniforms(seed: int, stream: str, start: int, count: int, width: int, *, attempt: int = 0) -> Tensor:
    """Uniform numbers in [0, 1), (count, width) float64. Row j belongs to index start + j of the stream.

    Philox is a counter-based generator (Salmon et al. 2011): row i starts at its own counter, so a row does not
    depend on the block in which it is generated.

    Args:
        seed, stream: identify the stream, for example (1, "train").
        start, count: the range of indices.
        width: how many numbers each index has. A different width is a different stream.
        attempt: selects an independent second, third, ... row for the same index.
    """
    per_row = -(-width // 4)  # each Philox counter yields four 64-bit words
    key = derived_seed(seed, stream, width, attempt)
    generator = np.random.Generator(np.random.Philox(key=key, counter=start * per_row))
    return torch.from_numpy(generator.random((count, per_row * 4))[:, :width])


def uniforms_of(seed: int, stream: str, indices: Tensor, width: int) -> Tensor:
    """Like `uniforms`, but for arbitrary indices in any order: (len(indices), width) numbers in [0, 1), float64.

    SplitMix64 (Steele et al. 2014) hashes a counter, so it can start anywhere. This suits rejection sampling, where
    each attempt needs its own numbers.

    Args:
        seed, stream: identify the stream.
        indices: (n,) int64, nonnegative.
        width: how many numbers each index has. A different width is a different stream.
    """
    key = derived_seed(seed, stream, width, "splitmix")
    counters = indices * width + torch.arange(width, device=indices.device).unsqueeze(1)
    words = mix(counters.mul_(GOLDEN).add_(key))
    return ((words >> 10).double() * 2.0**-53).T  # the upper 53 of 63 bits


def row_hash(rows: Tensor) -> Tensor:
    """Hash each row of an integer tensor (n, width) to a nonnegative int64, the same in every run and on every machine.

    Trailing zeros do not change the hash of a row.
    """
    factors = mix(torch.arange(1, rows.shape[1] + 1) * GOLDEN).tolist()
    total = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for column, factor in zip(rows.unbind(1), factors, strict=True):  # faster than one product with the whole matrix
        total.add_(column, alpha=factor)
    return mix(total)


def mix(x: Tensor) -> Tensor:
    """Apply the finaliser of SplitMix64 (Steele et al. 2014) to signed 64-bit words; the results are nonnegative."""
    x = (x >> 30).bitwise_and_(0x3FFFFFFFF).bitwise_xor_(x).mul_(-4658895280553007687)
    x = (x >> 27).bitwise_and_(0x1FFFFFFFFF).bitwise_xor_(x).mul_(-7723592293110705685)
    return (x >> 31).bitwise_and_(0x1FFFFFFFF).bitwise_xor_(x).bitwise_and_(0x7FFFFFFFFFFFFFFF)


def permutation(seed: int, stream: str, index: int, size: int) -> Tensor:
    """The permutation of 0 .. size-1 with number `index` in a stream."""
    generator = torch.Generator().manual_seed(derived_seed(seed, stream, "permutation", index))
    return torch.randperm(size, generator=generator)
