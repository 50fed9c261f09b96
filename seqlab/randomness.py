"""Everything random is a function of (seed, stream, index): nothing here keeps a state.

So sample i of a split can be made without its predecessors, in blocks of any size, by any worker, and a resumed run
continues the very stream of the run that was cut off.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed word


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed from a seed and names or numbers, stable over machines and versions.

    >>> derived_seed(1, "train", 0) == derived_seed(1, "train", 0) != derived_seed(1, "train", 1)
    True
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def uniforms(seed: int, stream: str, start: int, count: int, width: int, *, attempt: int = 0) -> Tensor:
    """Row j holds `width` numbers in [0, 1) that belong to index start + j of the stream, float64.

    Philox is a counter-based generator (Salmon et al. 2011): row i begins at a counter of its own, so a row does not
    depend on the block that it is made in.

    Args:
        seed, stream: name the stream, for example (1, "train").
        start, count: which indices.
        width: how many numbers an index has. Another width is another stream.
        attempt: an independent second, third ... row for the same index.
    """
    per_row = -(-width // 4)  # a Philox counter gives four 64-bit words
    key = derived_seed(seed, stream, width, attempt)
    generator = np.random.Generator(np.random.Philox(key=key, counter=start * per_row))
    return torch.from_numpy(generator.random((count, per_row * 4))[:, :width])


def uniforms_of(seed: int, stream: str, indices: Tensor, width: int) -> Tensor:
    """As `uniforms`, for any indices in any order: (len(indices), width) numbers in [0, 1), float64.

    SplitMix64 (Steele et al. 2014) is a mixed counter, so that it can begin anywhere: for samples that are drawn
    again and again until one fits, each from its own numbers.

    Args:
        seed, stream: name the stream.
        indices: (n,) int64, from 0.
        width: how many numbers an index has. Another width is another stream.
    """
    key = derived_seed(seed, stream, width, "splitmix")
    counters = indices * width + torch.arange(width, device=indices.device).unsqueeze(1)
    words = mix(counters.mul_(GOLDEN).add_(key))
    return ((words >> 10).double() * 2.0**-53).T  # of 63 bits the upper 53


def row_hash(rows: Tensor) -> Tensor:
    """A fixed hash of each row of integers (n, width), non-negative int64: the same in every run and on every machine.

    Zeros at the end of a row do not change it.
    """
    factors = mix(torch.arange(1, rows.shape[1] + 1) * GOLDEN).tolist()
    total = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for column, factor in zip(rows.unbind(1), factors, strict=True):  # faster than a product with the whole
        total.add_(column, alpha=factor)
    return mix(total)


def mix(x: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele et al. 2014) on signed 64-bit words, to non-negative ones."""
    x = (x >> 30).bitwise_and_(0x3FFFFFFFF).bitwise_xor_(x).mul_(-4658895280553007687)
    x = (x >> 27).bitwise_and_(0x1FFFFFFFFF).bitwise_xor_(x).mul_(-7723592293110705685)
    return (x >> 31).bitwise_and_(0x1FFFFFFFF).bitwise_xor_(x).bitwise_and_(0x7FFFFFFFFFFFFFFF)


def permutation(seed: int, stream: str, index: int, size: int) -> Tensor:
    """Permutation number `index` of 0 .. size-1."""
    generator = torch.Generator().manual_seed(derived_seed(seed, stream, "permutation", index))
    return torch.randperm(size, generator=generator)
