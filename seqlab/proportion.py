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
        found, trials = int(hits.sum()), hits.numel()
        if not trials:
            return cls(0, 0)
        names, members = clusters.unique(return_inverse=True)
        if len(names) == 1:
            return cls(found, trials, 1.0)
        sizes = members.bincount().double()
        p = found / trials
        if found in (0, trials):
            effective = trials**2 / float(sizes.square().sum())
        else:
            off = members.bincount(weights=hits.double()) - p * sizes
            variance = len(names) / (len(names) - 1) * float(off.square().sum()) / trials**2
            effective = p * (1 - p) / variance if variance else float(trials)
        return cls(found, trials, min(float(trials), effective * (Z / student(len(names) - 1)) ** 2))

    @classmethod
    def weighted(cls, hits: "Tensor", weights: "Tensor", clusters: "Tensor", strata: "Tensor") -> "Proportion":
        """The weighted mean of `hits` (n,) bool, p = sum w_i h_i with weights that add up to 1, as p n out of n trials.

        Trials depend on each other within a cluster, and clusters are resampled within strata. With z_c = sum over a
        cluster of w_i (h_i - p_s), p_s the weighted mean of its stratum, the variance is sum over strata of
        C_s / (C_s - 1) sum z_c^2 (Cochran 1977, chapter 11). A stratum of one cluster is one trial, W_s^2 p_s (1 -
        p_s). The effective number is p (1 - p) / v (z / t)^2 as for `clustered`, with C - S degrees of freedom; at 0
        and 1 it is 1 / sum W_c^2.

        Args:
            hits: (n,) bool.
            weights: (n,) positive; they need not add up to 1.
            clusters: (n,) int64, the cluster of each trial.
            strata: (n,) int64, the stratum of each trial. A cluster is in one stratum.

        >>> import torch
        >>> hits, place = torch.tensor([1, 1, 1, 0]).bool(), torch.arange(4)
        >>> found = Proportion.weighted(hits, torch.tensor([1.0, 1.0, 1.0, 3.0]), place, place // 2)
        >>> found.value, found.trials, round(found.effective, 2)
        (0.5, 4, 0.83)
        """
        trials = hits.numel()
        if not trials:
            return cls(0, 0)
        weights = weights.double() / float(weights.double().sum())
        _, member = clusters.unique(return_inverse=True)
        _, stratum = strata.unique(return_inverse=True)
        num_clusters, num_strata = int(member.max()) + 1, int(stratum.max()) + 1
        of_cluster = stratum.new_zeros(num_clusters).scatter(0, member, stratum)
        sizes = of_cluster.bincount()
        weight_of_stratum = stratum.bincount(weights=weights)
        means = stratum.bincount(weights=weights * hits) / weight_of_stratum
        p = float((weight_of_stratum * means).sum())
        if hits.all() or not hits.any():
            effective = 1 / float(member.bincount(weights=weights).square().sum())
        else:
            squares = member.bincount(weights=weights * (hits.double() - means[stratum])).square()
            spread = of_cluster.bincount(weights=squares) * sizes / (sizes - 1).clamp(min=1)
            alone = weight_of_stratum.square() * means * (1 - means)
            variance = float(spread.where(sizes > 1, alone).sum())
            effective = p * (1 - p) / variance if variance else float(trials)
        degrees = num_clusters - num_strata
        if degrees:
            effective *= (Z / student(degrees)) ** 2
        found = trials * float(hits[0]) if hits.all() or not hits.any() else p * trials
        return cls(found, trials, min(float(trials), effective))

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
        n = self.trials if self.effective is None else self.effective
        p = self.hits / self.trials
        centre = p + Z * Z / (2 * n)
        spread = Z * (p * (1 - p) / n + Z * Z / (4 * n * n)) ** 0.5
        low, high = ((centre + sign * spread) / (1 + Z * Z / n) for sign in (-1, 1))
        # one bound is exactly 0 or 1 up to rounding error: return it exactly
        return (0.0 if self.hits == 0 else low), (1.0 if self.hits == self.trials else high)


@cache
def student(degrees: int) -> float:
    """The 97.5% point of Student's distribution."""
    from scipy.special import stdtrit  # here, because scipy takes half a second to load

    return float(stdtrit(degrees, 0.975))


def value_of(result: Proportion | float) -> float | None:
    """A result as a plain number; None for a proportion without trials."""
    return result.value if isinstance(result, Proportion) else float(result)
