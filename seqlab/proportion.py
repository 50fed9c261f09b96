"""A proportion of trials, stored as hits and count, with its confidence interval."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Proportion(NamedTuple):
    """A binomial proportion: `hits` out of `trials`.

    >>> proportion = Proportion(8, 10)
    >>> proportion.value, [round(bound, 3) for bound in proportion.interval]
    (0.8, [0.49, 0.943])
    >>> Proportion(0, 0).value is None
    True
    """

    hits: int
    trials: int

    @classmethod
    def of(cls, hits: "Tensor") -> "Proportion":
        """The proportion of true elements in a boolean tensor of any shape. Each element is one trial."""
        return cls(int(hits.sum()), hits.numel())

    @property
    def value(self) -> float | None:
        """hits / trials; None if there were no trials."""
        return self.hits / self.trials if self.trials else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% score interval (Wilson 1927); None if there were no trials.

        It stays inside [0, 1] and has nonzero width even at 0 and 1.
        """
        if not self.trials:
            return None
        z, n = 1.959963984540054, self.trials
        p = self.hits / n
        centre = p + z * z / (2 * n)
        spread = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
        # one bound is exactly 0 or 1 up to rounding error: return it exactly
        return (0.0 if self.hits == 0 else low), (1.0 if self.hits == n else high)


def value_of(result: Proportion | float) -> float | None:
    """A result as a plain number; None for a proportion without trials."""
    return result.value if isinstance(result, Proportion) else float(result)
