"""Paired comparison of two predictors on the same items, where items cluster."""

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.proportion import student
from seqlab.randomness import derived_seed

FLIPS = 9999  # random changes of sign


class Difference(NamedTuple):
    """The mean of paired differences over n items in C clusters.

    value: the mean difference.
    interval: 95%, by Student's quantile and the variance over clusters; None with a single cluster.
    p: of the sign-flip test, two-sided.
    clusters: C.
    """

    value: float
    interval: tuple[float, float] | None
    p: float
    clusters: int


def paired(differences: Tensor, clusters: Tensor, seed: int = 1, weights: Tensor | None = None) -> Difference:
    """The mean difference with an interval and a test that know how items cluster.

    The variance is that of the ratio estimator, C / (C - 1) sum (d_c - d n_c)^2 / n^2, where d_c is the sum of a
    cluster's n_c differences; with weights w of mean 1, of w times them, and n_c is the sum of w. The test changes the
    sign of all differences of a cluster at once (if the two predictors are equally good, either sign is as likely),
    FLIPS times, and counts how often the sum is at least as far from 0. Everything is a function of the arguments.

    Args:
        differences: (n,), n at least 1.
        clusters: (n,) int64, the cluster of each item.
        seed: seed of the signs.
        weights: (n,) of the items; by default equal.

    >>> one = paired(torch.tensor([1.0, 1.0, 0.0, 1.0]), torch.arange(4))
    >>> one.value, [round(bound, 2) for bound in one.interval], round(one.p, 2), one.clusters
    (0.75, [-0.05, 1.55], 0.25, 4)
    """
    weights = torch.ones(len(differences)) if weights is None else weights / weights.mean()
    differences = differences.double() * weights
    names, members = clusters.unique(return_inverse=True)
    sums, sizes = members.bincount(weights=differences), members.bincount(weights=weights.double())
    value = float(differences.mean())
    interval = None
    if len(names) > 1:
        variance = len(names) / (len(names) - 1) * float((sums - value * sizes).square().sum()) / len(differences) ** 2
        half = student(len(names) - 1) * variance**0.5
        interval = (value - half, value + half)
    generator = torch.Generator().manual_seed(derived_seed(seed, "sign flips"))
    signs = torch.randint(2, (FLIPS, len(names)), generator=generator, dtype=torch.int8).double() * 2 - 1
    as_far = int(((signs @ sums).abs() >= abs(float(sums.sum())) - 1e-9).sum())
    return Difference(value, interval, (1 + as_far) / (1 + FLIPS), len(names))
