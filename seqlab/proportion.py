"""A proportion of trials, stored as hits and count, with its confidence interval."""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

Z = 1.959963984540054  # 97.5% point of the normal distribution


class Proportion(NamedTuple):
    """A binomial proportion: `hits` out of `trials`.

    hits: a whole number, but for a weighted mean, of which it is as many trials as the mean says.
    effective: how many independent trials are worth as much, if the trials are not independent; None: all of them.

    >>> proportion = Proportion(8, 10)
    >>> proportion.value, [round(bound, 3) for bound in proportion.interval]
    (0.8, [0.49, 0.943])
    >>> Proportion(0, 0).value is None
    True
    """

    hits: float
    trials: int
    effective: float | None = None

    @classmethod
    def of(cls, hits: "Tensor") -> "Proportion":
        """The proportion of true elements in a boolean tensor of any shape. Each element is one trial."""
        return cls(int(hits.sum()), hits.numel())

    @classmethod
    def clustered(cls, hits: "Tensor", clusters: "Tensor") -> "Proportion":
        """The proportion of true elements in `hits` (n,) bool whose trials depend on each other within a cluster.

        The effective number of trials is p (1 - p) / v (z / t)^2 (Korn & Graubard 1998). v is the variance of the ratio
        estimator over the C clusters, C / (C - 1) sum (h_c - p n_c)^2 / n^2, and t is Student's quantile for C - 1
        degrees of freedom. At 0 and 1, where v says nothing, all trials of a cluster count as if they were equal: p
        (1 - p) / v becomes n^2 / sum n_c^2. A single cluster is worth one trial. It is never more than n.

        Args:
            hits: (n,) bool.
            clusters: (n,) int64, the cluster of each trial.

        >>> import torch
        >>> hits = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]).bool()
        >>> same = Proportion.clustered(hits, torch.arange(12) // 4)  # three clusters, equal inside
        >>> same.hits, same.trials, round(same.effective, 2)
        (8, 12, 0.42)
        """
        trials = hits.numel()
        if not trials:
            return cls(0, 0)
        equal = hits.double().fill_(1 / trials)
        return cls(int(hits.sum()), trials, _mean_of_clusters(hits, equal, clusters)[1])

    @classmethod
    def weighted(cls, hits: "Tensor", weights: "Tensor", clusters: "Tensor", strata: "Tensor") -> "Proportion":
        """The weighted mean of `hits` (n,) bool, p = sum w_i h_i with weights that add up to 1, as p n out of n trials.

        Trials depend on each other within a cluster, and clusters are resampled within strata. Each stratum has its
        mean p_s and the interval l_s .. u_s that `clustered` gives it, with Student's quantile for its clusters. With
        W_s the weight of a stratum, half the interval of p is (sqrt sum W_s^2 (p_s - l_s)^2 + sqrt sum W_s^2 (u_s -
        p_s)^2) / 2: Newcombe's way to add proportions (Newcombe 1998, method 10; Yan & Su 2010). The effective number
        is that of which the score interval is as wide. A stratum whose trials are all right has an interval, too: a
        sum of variances would take it for certain, and cover the truth less often than it says.

        Args:
            hits: (n,) bool.
            weights: (n,) positive; they need not add up to 1.
            clusters: (n,) int64, the cluster of each trial.
            strata: (n,) int64, the stratum of each trial. A cluster is in one stratum.

        >>> import torch
        >>> hits, place = torch.tensor([1, 1, 1, 0]).bool(), torch.arange(4)
        >>> found = Proportion.weighted(hits, torch.tensor([1.0, 1.0, 1.0, 3.0]), place, place // 2)
        >>> found.value, found.trials, round(found.effective, 2)
        (0.5, 4, 1.28)
        """
        trials = hits.numel()
        if not trials:
            return cls(0, 0)
        weights = weights.double() / float(weights.double().sum())
        p = below = above = 0.0
        for name in strata.unique():
            mine = strata == name
            share = float(weights[mine].sum())
            if not share:
                continue
            mean, worth = _mean_of_clusters(hits[mine], weights[mine] / share, clusters[mine])
            low, high = score_interval(mean, worth)
            p += share * mean
            below += (share * (mean - low)) ** 2
            above += (share * (high - mean)) ** 2
        if hits.all() or not hits.any():
            p = float(hits[0])  # without rounding
        return cls(trials * p, trials, min(float(trials), _as_wide(p, (below**0.5 + above**0.5) / 2)))

    @property
    def value(self) -> float | None:
        """hits / trials; None if there were no trials."""
        return self.hits / self.trials if self.trials else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% score interval (Wilson 1927) over the effective trials; None if there were no trials.

        It stays inside [0, 1] and has nonzero width even at 0 and 1.
        """
        if not self.trials:
            return None
        low, high = score_interval(self.hits / self.trials, self.trials if self.effective is None else self.effective)
        # one bound is exactly 0 or 1 up to rounding error: return it exactly
        return (0.0 if self.hits == 0 else low), (1.0 if self.hits == self.trials else high)


def score_interval(p: float, n: float) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion p of n trials: all q with |p - q| <= Z sqrt(q (1 - q) / n).

    >>> [round(bound, 3) for bound in score_interval(0.8, 10)]
    [0.49, 0.943]
    """
    centre = p + Z * Z / (2 * n)
    spread = Z * (p * (1 - p) / n + Z * Z / (4 * n * n)) ** 0.5
    low, high = ((centre + sign * spread) / (1 + Z * Z / n) for sign in (-1, 1))
    return low, high


def _as_wide(p: float, half: float) -> float:
    """The number of trials n of which `score_interval` is 2 half wide.

    half^2 (n + Z^2)^2 = Z^2 (p (1 - p) n + Z^2 / 4), a quadratic equation in n.
    """
    square, z = half * half, Z * Z
    linear = 2 * square * z - z * p * (1 - p)
    return (-linear + (linear * linear - 4 * square * z * z * (square - 0.25)) ** 0.5) / (2 * square)


def _mean_of_clusters(hits: "Tensor", weights: "Tensor", clusters: "Tensor") -> tuple[float, float]:
    """The weighted mean of hits (n,) and its effective number of trials, as `Proportion.clustered` says.

    Args:
        hits: (n,) bool, n > 0.
        weights: (n,) float64 that add up to 1.
        clusters: (n,) int64.
    """
    _, members = clusters.unique(return_inverse=True)
    shares = members.bincount(weights=weights)
    p, number, trials = float(weights @ hits.double()), len(shares), float(hits.numel())
    if number == 1:
        return p, 1.0
    if hits.all() or not hits.any():
        p, effective = float(hits[0]), 1 / float(shares.square().sum())
    else:
        off = members.bincount(weights=weights * (hits.double() - p))
        variance = number / (number - 1) * float(off.square().sum())
        effective = p * (1 - p) / variance if variance else trials
    return p, min(trials, effective * (Z / student(number - 1)) ** 2)


@cache
def student(degrees: int) -> float:
    """The 97.5% point of Student's distribution."""
    from scipy.special import stdtrit  # here, because scipy takes half a second to load

    return float(stdtrit(degrees, 0.975))


def value_of(result: Proportion | float) -> float | None:
    """A result as a plain number; None for a proportion without trials."""
    return result.value if isinstance(result, Proportion) else float(result)
