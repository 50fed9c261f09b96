"""Scores on one scale: 0 is the best shortcut or chance, 1 the optimum; and their intervals."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from seqlab.proportion import student

Row = Mapping[str, float | None]  # metric -> value


class Scale(NamedTuple):
    """Where a metric begins and ends.

    floor, best: its values for the best shortcut and for the optimum.
    shortcut, optimum: the names of these baselines.
    """

    floor: float
    best: float
    shortcut: str
    optimum: str

    def score(self, value: float) -> float:
        """How far a value is on the way from the floor to the best one; below 0 it is worse than the shortcut.

        >>> Scale(0.5, 1.0, "chance", "oracle").score(0.75)
        0.5
        """
        return (value - self.floor) / (self.best - self.floor)


def scale_of(
    metric: str,
    baselines: Mapping[str, Row],
    *,
    optimal: Sequence[str],
    solvers: Sequence[str],
    better: Literal["low", "high"] | None,
) -> Scale | str:
    """The scale of a metric, or the reason why it has none.

    Args:
        metric: its name.
        baselines: the test results of each baseline.
        optimal: those baselines that know the answers, or their distribution.
        solvers: those that solve the task without learning; they are neither a floor nor an optimum.
        better: whether low or high values are better. None: nobody says; then it is the direction from the shortcuts
            to the optimum, if all shortcuts are on one side of it.
    """
    known = {name: value for name, row in baselines.items() if (value := row.get(metric)) is not None}
    tops = {name: value for name, value in known.items() if name in optimal}
    floors = {name: value for name, value in known.items() if name not in (*optimal, *solvers)}
    if not tops:
        names = ", ".join(optimal) or "none"
        return f"no baseline knows the optimum of {metric} (Task.optimal names those that would: {names})"
    if not floors:
        return f"no shortcut has a value of {metric}"
    if better is None:
        if min(floors.values()) < min(tops.values()) and max(floors.values()) > max(tops.values()):
            return f"whether low or high {metric} is better is not known: shortcuts are on both sides of the optimum"
        better = "low" if max(floors.values()) > max(tops.values()) else "high"
    best_of = min if better == "low" else max
    top, floor = best_of(tops, key=lambda name: tops[name]), best_of(floors, key=lambda name: floors[name])
    if (tops[top] >= floors[floor]) if better == "low" else (tops[top] <= floors[floor]):
        return f"the shortcut {floor} reaches the optimum of {metric}"
    return Scale(floors[floor], tops[top], floor, top)


class Mean(NamedTuple):
    """A mean over seeds with its 95% interval; of one seed without cases the interval is the value itself."""

    value: float
    low: float
    high: float


def over_seeds(scores: Sequence[tuple[float, float, float]]) -> Mean:
    """The mean of scores over seeds, and its 95% interval.

    The wider of two: Student's interval over the seeds, and the mean interval over the cases of each seed. The second
    does not shrink with more seeds, because they may share their cases, such as the prompts of a language. With one
    seed only the second one is known; with equal seeds the first one would have no width.

    Args:
        scores: of each seed: its score, and the ends of its interval over cases.

    >>> over_seeds([(0.5, 0.4, 0.6)])
    Mean(value=0.5, low=0.4, high=0.6)
    >>> [round(bound, 2) for bound in over_seeds([(0.2, 0.2, 0.2), (0.4, 0.4, 0.4), (0.6, 0.6, 0.6)])]
    [0.4, -0.1, 0.9]
    """
    n = len(scores)
    mean = sum(value for value, _, _ in scores) / n
    below = sum(value - low for value, low, _ in scores) / n
    above = sum(high - value for value, _, high in scores) / n
    spread = 0.0
    if n > 1:
        variance = sum((value - mean) ** 2 for value, _, _ in scores) / (n - 1)
        spread = student(n - 1) * (variance / n) ** 0.5
    return Mean(mean, mean - max(below, spread), mean + max(above, spread))


def together(means: Sequence[Mean]) -> Mean:
    """The mean of several cells, with the mean of their bounds: the widest interval, as if all erred alike.

    >>> together([Mean(1.0, 0.5, 1.0), Mean(0.0, -0.25, 0.5)])
    Mean(value=0.5, low=0.125, high=0.75)
    """
    return Mean(*(sum(part) / len(means) for part in zip(*means, strict=True)))
