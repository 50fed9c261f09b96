"""A share of trials, kept as sum and count, with its interval."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Proportion(NamedTuple):
    """`hits` of `trials`.

    >>> share = Proportion(8, 10)
    >>> share.value, [round(bound, 3) for bound in share.interval]
    (0.8, [0.49, 0.943])
    >>> Proportion(0, 0).value is None
    True
    """

    hits: int
    trials: int

    @classmethod
    def of(cls, hits: "Tensor") -> "Proportion":
        """Of a boolean tensor of any shape, with one element a trial."""
        return cls(int(hits.sum()), hits.numel())

    @property
    def value(self) -> float | None:
        """hits / trials; None where nothing was tried."""
        return self.hits / self.trials if self.trials else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% score interval (Wilson 1927), which stays inside [0, 1] and has a width at 0 and 1 too."""
        if not self.trials:
            return None
        z, n = 1.959963984540054, self.trials
        share = self.hits / n
        centre = share + z * z / (2 * n)
        spread = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
        low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
        # at 0 and at 1 one bound is exact, but for rounding
        return (0.0 if self.hits == 0 else low), (1.0 if self.hits == n else high)


def value_of(result: Proportion | float) -> float | None:
    """A result as a plain number; None for a share of nothing."""
    return result.value if isinstance(result, Proportion) else float(result)
