"""Puts the rows of a file into time order. Rows out of order, duplicated or missing are refused, or mended on request.

Nothing is mended without a request. No value is derived from later ones, which would leak the future into a forecast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from forecasting.csv_file import CsvFile
from forecasting.time_axis import Axis, find_axis, known
from forecasting.time_steps import Steps, steps
from seqlab.errors import InputError

Order = Literal["refuse", "sort"]
Repeated = Literal["refuse", "first", "last"]
Gaps = Literal["refuse", "fill", "drop", "close"]
CLOSE = "data.gaps=close treats the rows as consecutive"
CURES = (
    "data.gaps=close treats the rows as consecutive (trading days), fill repeats the previous value, drop keeps the "
    "longest stretch without a gap"
)


class Mending(NamedTuple):
    """How to handle rows that are out of order, duplicated or missing.

    time: the time column, or several to combine; an empty tuple: rows in file order; None: find it, as
        forecasting.time_axis.find_axis does.
    order: for rows that go back in time; `sort` sorts them.
    repeated: for several rows of one time; keep the `first` or the `last`.
    gaps: for rows that are missing, blank or without a value. `fill` repeats the previous value; `drop` keeps the
        longest stretch without a gap; `close` treats the rows on both sides as consecutive.
    """

    time: str | tuple[str, ...] | None = None
    order: Order = "refuse"
    repeated: Repeated = "refuse"
    gaps: Gaps = "refuse"


STRICT = Mending()


@dataclass(frozen=True)
class Rows:
    """Rows at regular steps.

    Args:
        values: (rows, columns) float64.
        lines: (rows,) line numbers in the file; a filled row has the line of the previous row.
        filled: (rows,) bool, which rows are not in the file.
        account: a description of the mending.
    """

    values: np.ndarray
    lines: np.ndarray
    filled: np.ndarray
    account: str


def in_order(file: CsvFile, columns: Sequence[str], mending: Mending) -> Rows:
    """Columns of numbers in time order and at regular steps.

    Raises:
        InputError: `mending` refuses the rows (the message gives the line and the option that mends it), or a cell is
            not a number.
    """
    values = file.values(columns)
    without = np.asarray(np.isnan(values).any(1))
    if without.any() and mending.gaps == "refuse":
        raise _no_value(file, columns, values)
    rows = np.flatnonzero(~without)
    if len(rows) == 0:
        raise InputError(f"{file.path} has no row with a number in {' and '.join(map(repr, columns))}")
    axis = find_axis(file, columns, ~without, mending.time, any_step=mending.gaps == "close")
    if axis is None:
        found, account = Steps(np.diff(rows), "a row"), ["rows as they stand"]
    else:
        account = [f"by {axis.name}"]
        every = np.unique(axis.moments[known(axis.moments)])  # rows without a value also help to find the step
        axis = axis.among(rows)
        chosen = _sorted(axis, mending.order, account)
        rows, axis = rows[chosen], axis.among(chosen)
        chosen = _each_once(axis, mending.repeated, account)
        rows, axis = rows[chosen], axis.among(chosen)
        found = steps(every).between(np.searchsorted(every, axis.moments))
        _check_steps(axis, found, mending.gaps)
        account.insert(1, f"a step is {found.name}")
    if without.any():
        account.append(f"{_counted(int(without.sum()))} without a value")
    kept, filled = _mended(file.path, found, mending.gaps, account)
    lines = np.array([row.line for row in file.rows])
    return Rows(values[rows[kept]], lines[rows[kept]], filled, "; ".join(account))


def _counted(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _no_value(file: CsvFile, columns: Sequence[str], values: np.ndarray) -> InputError:
    absent = np.isnan(values)
    first, count = int(np.argmax(absent.any(1))), int(absent.any(1).sum())
    row = file.rows[first]
    what = f"{columns[int(np.argmax(absent[first]))]} has a gap" if row.cells else "a blank line is a gap"
    more = f" (the first of {count:,})" if count > 1 else ""
    return InputError(f"{file.path}, line {row.line}: {what}{more}; {CURES}")


def _sorted(axis: Axis, order: Order, account: list[str]) -> np.ndarray:
    """The indices of the rows in ascending time order."""
    back = np.flatnonzero(axis.moments[1:] < axis.moments[:-1])
    if len(back) == 0:
        return np.arange(len(axis.lines))
    if order == "refuse":
        row = int(back[0])
        newest_first = "" if (axis.moments[1:] > axis.moments[:-1]).any() else ": the newest row comes first"
        raise InputError(
            f"{axis.path}, line {axis.lines[row + 1]}: {axis.name} goes back from {axis.at(row)} to "
            f"{axis.cells[row + 1]}{newest_first}; data.order=sort sorts the rows"
        )
    account.append("sorted")
    return np.argsort(axis.moments, kind="stable")


def _each_once(axis: Axis, repeated: Repeated, account: list[str]) -> np.ndarray:
    """The indices of the rows to keep, one per time."""
    same = axis.moments[1:] == axis.moments[:-1]
    if not same.any():
        return np.arange(len(axis.lines))
    count = int(same.sum())
    if repeated == "refuse":
        row = int(np.argmax(same))
        hint = "; if another column holds the hour, data.time=[COLUMN,COLUMN]" if 2 * count >= len(same) else ""
        raise InputError(
            f"{axis.path}, line {axis.lines[row + 1]}: {axis.name} is {axis.cells[row + 1]} again, as in {axis.at(row)}"
            f"{f' (the first of {count:,})' if count > 1 else ''}; data.repeated=first keeps the first row of each, "
            f"last the last{hint}"
        )
    account.append(f"{_counted(count)} of a repeated time dropped, the {repeated} one kept")
    return np.flatnonzero(np.append(~same, True) if repeated == "last" else np.append(True, ~same))


def _check_steps(axis: Axis, found: Steps, gaps: Gaps) -> None:
    """Raise InputError for irregular steps, rows within one step (except under `drop`), and gaps under `refuse`."""
    odd = np.flatnonzero(found.taken != 1)
    if len(odd) == 0 or gaps == "close":
        return
    irregular = 2 * found.num_regular < len(found.taken)
    within = np.flatnonzero(found.taken == 0)
    row = int(within[0] if len(within) and gaps != "refuse" else odd[0])
    start = f"{axis.path}, line {axis.lines[row + 1]}: "
    if irregular:
        raise InputError(
            f"{start}{axis.name} has no regular step: most are not {found.name}, for example from {axis.at(row)} to "
            f"{axis.cells[row + 1]}; {CLOSE}"
        )
    if found.taken[row] == 0 and gaps != "drop":
        raise InputError(
            f"{start}{axis.cells[row + 1]} is less than one step ({found.name}) after {axis.at(row)}; {CLOSE}"
        )
    if gaps == "refuse":
        raise InputError(
            f"{start}{_counted(int(found.missing[row]))} missing between {axis.at(row)} and {axis.cells[row + 1]}, "
            f"a step is {found.name} (in all {_places(found)}); {CURES}"
        )


def _places(found: Steps) -> str:
    missing, places = found.missing, int((found.missing > 0).sum())
    return f"{missing.sum():,} in {places:,} place{'s' if places != 1 else ''}, at most {missing.max():,} at once"


def _mended(path: str, found: Steps, gaps: Gaps, account: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows to keep, repeated before a gap to fill it, and which of them are not in the file."""
    count = len(found.taken) + 1
    everything, odd = np.arange(count), np.flatnonzero(found.taken != 1)
    if len(odd) == 0:
        return everything, np.zeros(count, dtype=bool)
    in_all = int(found.missing.sum())
    if gaps == "fill":
        if in_all > count:
            raise InputError(f"{path}: data.gaps=fill would add {in_all:,} rows to {count:,}: more than there are")
        kept = np.repeat(everything, np.append(found.missing + 1, 1))
        account.append(f"{in_all:,} missing filled with the value before")
        return kept, np.append(False, kept[1:] == kept[:-1])
    if gaps == "drop":
        kept = max(np.split(everything, odd + 1), key=len)
        account.append(f"{count - len(kept):,} of {_counted(count)} dropped, to keep the longest stretch without a gap")
        return kept, np.zeros(len(kept), dtype=bool)
    if in_all:
        account.append(f"gaps closed: {_places(found)}")
    return everything, np.zeros(count, dtype=bool)
