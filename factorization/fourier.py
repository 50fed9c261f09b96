"""Matches the weights of sine units with the Fourier phases 2 pi k 2^j / q of residues modulo primes q."""

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.randomness import derived_seed

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)


class Matches(NamedTuple):
    """The best match of each unit, (units,): prime q, multiple k, and score in [-1, 1]."""

    primes: Tensor
    multiples: Tensor
    scores: Tensor


def residue_phases(bits: int, prime: int) -> Tensor:
    """The phases 2 pi k 2^j / q for k = 1 .. q // 2: (prime // 2, bits) in radians, most significant bit first.

    Their sum over the set bits of N is 2 pi k N / q modulo 2 pi. -k gives the same phases with the opposite sign.

    >>> (residue_phases(3, 3) / torch.pi * 3).round().tolist()
    [[2.0, 4.0, 2.0]]
    """
    multiples = torch.arange(1, max(prime // 2, 1) + 1)
    powers = torch.tensor([pow(2, place, prime) for place in range(bits - 1, -1, -1)])
    return 2 * torch.pi * ((multiples[:, None] * powers) % prime) / prime


def match(weights: Tensor, primes: tuple[int, ...] = PRIMES) -> Matches:
    """The residue nearest to each unit's weights (units, bits), most significant bit first.

    The score is the mean over bits of cos(w_j - 2 pi k 2^j / q). It is 1 if all phases agree and about 0 by chance for
    one q and k. The best over all q and k is higher by chance too; `controls` measures by how much. For q = 2 all bits
    but the last have phase 0.
    """
    candidates = [residue_phases(weights.shape[1], prime) for prime in primes]
    phases = torch.cat(candidates)
    labels = torch.tensor(
        [(prime, k) for prime, rows in zip(primes, candidates, strict=True) for k in range(1, len(rows) + 1)]
    )
    # a sine unit with weights -w computes the same function up to sign and bias
    score = (weights[:, None, :] - phases).cos().mean(2)
    mirrored = (weights[:, None, :] + phases).cos().mean(2)
    best = torch.maximum(score, mirrored).max(1)
    return Matches(labels[best.indices, 0], labels[best.indices, 1], best.values)


def controls(weights: Tensor, *, seed: int, repeats: int = 20) -> Tensor:
    """Scores of control units, (units x repeats,): the weights of every unit, shuffled over bits `repeats` times."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "shuffled phases"))
    rows = weights.repeat(repeats, 1)
    order = torch.rand(rows.shape, generator=generator).argsort(1)
    return match(rows.gather(1, order)).scores
