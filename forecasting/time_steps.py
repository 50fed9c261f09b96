"""The regular step of a series: in days, days of a working week, months, seconds, or plain numbers."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

SECONDS = {"week": 604_800, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}
MONTHS = {"year": 12, "quarter": 3, "month": 1}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
RARE_DAY = 0.25  # a weekday with fewer than this proportion of the commonest weekday's rows is not a working day
MANY = 1e15  # maximum number of steps; larger distances are clipped


class Steps(NamedTuple):
    """The distances between consecutive rows.

    taken: (rows - 1,) int64, distances in steps, rounded: 1 if no row is missing, 0 if two rows are within one step.
    name: the name of one step.
    """

    taken: np.ndarray
    name: str

    def between(self, rows: np.ndarray) -> "Steps":
        """The steps between the given rows (ascending indices)."""
        return self._replace(taken=np.diff(np.append(0, self.taken.cumsum())[rows]))

    @property
    def missing(self) -> np.ndarray:
        """The number of missing rows before each row but the first, (rows - 1,)."""
        return np.maximum(self.taken - 1, 0)

    @property
    def num_regular(self) -> int:
        """The number of rows exactly one step after the previous row."""
        return int((self.taken == 1).sum())


def steps(moments: np.ndarray) -> Steps:
    """The steps between rows, in the unit that makes most of them 1.

    Steps follow the calendar: months differ in length, and weekdays without rows are not gaps.

    Args:
        moments: (rows,) ascending, without repeats: datetime64[us], or float64 for plain numbers.

    >>> steps(np.array(["2020-01-31", "2020-02-29", "2020-04-30"], dtype="datetime64[us]"))
    Steps(taken=array([1, 2]), name='a month')
    """
    if len(moments) < 2:
        return Steps(np.empty(0, dtype=np.int64), "a row")
    if moments.dtype.kind == "f":
        return _of_length(moments, lambda step: f"{step:g}")
    plain = _of_length((moments - moments[0]).astype(np.int64) / 1e6, _duration)
    days = moments.astype("datetime64[D]")
    between = np.diff(days).astype(np.int64)
    if between.min() == 0 or np.diff(moments).min() < np.timedelta64(20, "h"):  # several a day
        return plain
    candidates = [_of_length(days.astype(np.float64) * SECONDS["day"], _duration), plain]
    if (between % 7 != 0).any():
        calendar = _of_months if _middle(between) >= 28 else _of_week if _middle(between) <= 3 else None
        candidates[:0] = [calendar(days)] if calendar else []
    return max(candidates, key=lambda candidate: candidate.num_regular)


def _middle(between: np.ndarray) -> float:
    """The lower median. If more than half of the steps are regular, it is the regular step."""
    return float(np.sort(between)[(len(between) - 1) // 2])


def _of_length(positions: np.ndarray, name: Callable[[float], str]) -> Steps:
    with np.errstate(over="ignore", invalid="ignore"):
        between = np.diff(positions)
        step = _middle(between)
        taken = np.nan_to_num(between / step, nan=0, posinf=MANY) if step > 0 else np.zeros(len(between))
    return Steps(np.rint(np.minimum(taken, MANY)).astype(np.int64), name(step))


def _of_months(days: np.ndarray) -> Steps:
    return _of_length(days.astype("datetime64[M]").astype(np.float64), lambda step: _counted(step, MONTHS, "months"))


def _of_week(days: np.ndarray) -> Steps:
    """Steps in days of the weekdays that have rows. Rows on rare other weekdays count as within a step."""
    counts = np.bincount((days.astype(np.int64) + 3) % 7, minlength=7)  # 1970-01-01 was a Thursday
    there = counts >= max(1.0, RARE_DAY * counts.max())
    absent = [day for day, has_rows in zip(WEEKDAYS, there, strict=True) if not has_rows]
    name = "a day" + (f" without {' and '.join(absent)}" if absent else "")
    return Steps(np.diff(np.busday_count(days[0], days, weekmask=there.tolist())), name)


def _duration(step: float) -> str:
    return _counted(step, SECONDS, "seconds")


def _counted(step: float, units: Mapping[str, int], smallest: str) -> str:
    for unit, size in units.items():
        if step >= size and step % size == 0:
            return f"{'an' if unit == 'hour' else 'a'} {unit}" if step == size else f"{step / size:g} {unit}s"
    return f"{step:g} {smallest}"
