"""Rows of a file brought into the order of time: what is out of order, given twice or missing is refused, or mended.

Nothing is mended unasked, and no value is made from later ones: a forecast would know them.
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
CLOSE = "data.gaps=close takes the rows as they follow each other"
CURES = (
    "data.gaps=close takes the rows as they follow each other (days of trading), fill repeats the value before, drop "
    "keeps the longest stretch without a gap"
)


class Mending(NamedTuple):
    """What is done about rows that are out of order, given twice, or missing.

    time: the column that says when, or several whose cells belong together; of none, the rows are taken in their
        order; None: the column that can be read as dates.
    order: rows that go back in time; `sort` sorts them.
    repeated: rows of one time; `first`, `last`: the one that is kept.
    gaps: rows that are missing, without a value, or blank. `fill` repeats the last value before; `drop` keeps the
        longest stretch without a gap; `close` takes the rows on both sides as successive.
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
        lines: (rows,) of the file; of a row that was filled, that of the row before.
        filled: (rows,) bool, which rows the file does not have.
        account: what was done, in words.
    """

    values: np.ndarray
    lines: np.ndarray
    filled: np.ndarray
    account: str


def in_order(file: CsvFile, columns: Sequence[str], mending: Mending) -> Rows:
    """Columns of numbers, in the order of time and at regular steps.

    Raises:
        InputError: for what is to be refused, with its line and the option that mends it; for a cell that is no number.
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
        every = np.unique(axis.moments[known(axis.moments)])  # a row without a value also says what a step is
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
    """The indices of the rows, ascending in time."""
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
    """The indices of the rows, each time once."""
    same = axis.moments[1:] == axis.moments[:-1]
    if not same.any():
        return np.arange(len(axis.lines))
    count = int(same.sum())
    if repeated == "refuse":
        row = int(np.argmax(same))
        hint = "; if another column says the hour, data.time=[COLUMN,COLUMN]" if 2 * count >= len(same) else ""
        raise InputError(
            f"{axis.path}, line {axis.lines[row + 1]}: {axis.name} is {axis.cells[row + 1]} again, as in {axis.at(row)}"
            f"{f' (the first of {count:,})' if count > 1 else ''}; data.repeated=first keeps the first row of each, "
            f"last the last{hint}"
        )
    account.append(f"{_counted(count)} of a repeated time dropped, the {repeated} one kept")
    return np.flatnonzero(np.append(~same, True) if repeated == "last" else np.append(True, ~same))


def _check_steps(axis: Axis, found: Steps, gaps: Gaps) -> None:
    """Raise InputError for steps of many lengths, for rows within one step, and under `refuse` for a gap."""
    odd = np.flatnonzero(found.taken != 1)
    if len(odd) == 0 or gaps == "close":
        return
    irregular = 2 * found.num_regular < len(found.taken)
    within = np.flatnonzero(found.taken == 0)
    row = int(within[0] if len(within) and gaps != "refuse" else odd[0])
    start = f"{axis.path}, line {axis.lines[row + 1]}: "
    if irregular:
        raise InputError(
            f"{start}{axis.name} has no regular step: most are not {found.name}, as from {axis.at(row)} to "
            f"{axis.cells[row + 1]}; {CLOSE}"
        )
    if found.taken[row] == 0 and gaps != "drop":
        raise InputError(
            f"{start}{axis.cells[row + 1]} is less than one step, {found.name}, behind {axis.at(row)}; {CLOSE}"
        )
    if gaps == "refuse":
        raise InputError(
            f"{start}{_counted(int(found.missing[row]))} missing between {axis.at(row)} and {axis.cells[row + 1]}, "
            f"a step being {found.name} (in all {_places(found)}); {CURES}"
        )


def _places(found: Steps) -> str:
    missing, places = found.missing, int((found.missing > 0).sum())
    return f"{missing.sum():,} in {places:,} place{'s' if places != 1 else ''}, at most {missing.max():,} at once"


def _mended(path: str, found: Steps, gaps: Gaps, account: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are kept, one before a gap again for each missing one, and which of these the file does not have."""
    count = len(found.taken) + 1
    everything, odd = np.arange(count), np.flatnonzero(found.taken != 1)
    if len(odd) == 0:
        return everything, np.zeros(count, dtype=bool)
    in_all = int(found.missing.sum())
    if gaps == "fill":
        if in_all > count:
            raise InputError(f"{path}: data.gaps=fill would make {in_all:,} rows of {count:,}: more than there are")
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
