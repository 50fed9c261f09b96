"""Which column of a CSV file says when, and when that is."""

import re
import reprlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forecasting.csv_file import CsvFile
from forecasting.dates import readings
from forecasting.numerals import number
from forecasting.time_steps import steps
from seqlab.errors import InputError

# A column of plain numbers says when if its name says so: "year", "Unix Timestamp (s)", but not "response time".
SAYS_WHEN = {
    "date", "datetime", "time", "timestamp", "year", "period", "epoch", "unix", "unixtime", "datum", "zeit", "jahr",
    "fecha", "año", "année", "annee", "anno",
}  # fmt: skip
PART = {"quarter", "month", "week", "day", "hour", "minute", "second"}  # of a time, when its numbers come again
MAY_STAND_BESIDE = {"of", "in", "at", "s", "ms", "us", "ns", "sec", "seconds", "utc", "gmt", "local", "decimal", "obs"}
WORD = re.compile(r"[^\W\d_]+")


class Axis(NamedTuple):
    """When some rows of a file are.

    path: of the file.
    lines: (rows,) of the file.
    name: of the column, or of several with blanks between.
    cells: (rows,) as they are written.
    moments: (rows,) datetime64[us], or float64 where they are plain numbers.
    """

    path: str
    lines: np.ndarray
    name: str
    cells: list[str]
    moments: np.ndarray

    def at(self, row: int) -> str:
        """A time as it is written, and its line."""
        return f"{self.cells[row]} (line {self.lines[row]})"

    def among(self, rows: np.ndarray) -> "Axis":
        """Of some of the rows."""
        return self._replace(lines=self.lines[rows], cells=[self.cells[r] for r in rows], moments=self.moments[rows])


class Candidate(NamedTuple):
    """A column, or several as one, with each way in which it can be read as times (none, one, or two)."""

    name: str
    cells: list[str]
    ways: list[np.ndarray]


def find_axis(
    file: CsvFile, values: Sequence[str], needed: np.ndarray, time: str | Sequence[str] | None, *, any_step: bool
) -> Axis | None:
    """The times of all rows of a file; None where no column says when.

    Args:
        values: the columns that hold the series: none of them says when.
        needed: (rows,) bool, whether the time of a row must be known; of others it may be NaT (NaN of plain numbers).
        time: the column, or several whose cells belong together (a day and its hour); of none, no times; None: the
            column that can be read as dates, else one of numbers whose name says that it holds times.
        any_step: whether only the order counts.

    Raises:
        InputError: where several columns could be meant, or a cell cannot be read.
    """
    if time is not None:
        names = [time] if isinstance(time, str) else list(time)
        found = [_named(file, names)] if names else []
    elif len(found := _candidates(file, values)) > 1:
        columns = " and ".join(repr(candidate.name) for candidate in found)
        raise InputError(
            f"{file.path}: {columns} can be read as times: name the one that counts, data.time={found[0].name}, or "
            "none of them, data.time=[]"
        )
    if not found:
        return None
    column, lines = found[0], np.array([row.line for row in file.rows])
    for way in column.ways:
        if (unread := needed & ~known(way)).any():
            row = int(np.argmax(unread))
            what = f"{column.name} is {reprlib.repr(column.cells[row])}, no time written as the others are"
            raise InputError(f"{file.path}, line {lines[row]}: {what}; data.time=[] takes the rows as they stand")
    return Axis(file.path, lines, column.name, column.cells, _decided(file.path, lines, column, any_step))


def known(moments: np.ndarray) -> np.ndarray:
    """Which times there are."""
    return ~(np.isnan(moments) if moments.dtype.kind == "f" else np.isnat(moments))


def _named(file: CsvFile, names: Sequence[str]) -> Candidate:
    parts = zip(*(file.cells(file.place(name, "data.time")) for name in names), strict=True)
    cells = [" ".join(part).strip() for part in parts]
    name = " ".join(names)
    if not (ways := readings(cells) or _plain_ways(cells)):
        first = reprlib.repr(next(filter(None, cells), ""))
        raise InputError(f"{file.path}: data.time={name}: {first} is no time that is known here")
    return Candidate(name, cells, ways)


def _candidates(file: CsvFile, values: Sequence[str]) -> list[Candidate]:
    """The columns that can be read as dates; where there is none, those of numbers that say when.

    One that is the same throughout says nothing. Of numbers most of which come again one is taken only if it stands
    alone: a year beside a month is half of a time.
    """
    dates, numbers = [], []
    num_named = sum(bool(_words(name) & (SAYS_WHEN | PART)) for name in file.header)
    for place, name in enumerate(file.header):
        cells = file.cells(place)
        written = [cell for cell in cells if cell]
        num_different = len(set(written))
        if name in values or num_different < min(2, len(cells)):
            continue
        if ways := readings(cells):
            dates.append(Candidate(name, cells, ways))
        elif (words := _words(name)) & (SAYS_WHEN | PART) and words <= SAYS_WHEN | PART | MAY_STAND_BESIDE:
            whole = 2 * num_different >= len(written) or (num_named == 1 and not words & PART)
            numbers += [Candidate(name, cells, ways) for ways in [_plain_ways(cells)] if whole and ways]
    return dates or numbers


def _words(name: str) -> set[str]:
    return {word.casefold() for word in WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", name))}


def _plain_ways(cells: Sequence[str]) -> list[np.ndarray]:
    """As 20200131, as 202001, or as numbers."""
    if ways := readings(cells, plain=True):
        return ways
    numbers = np.array([_number(cell) for cell in cells])
    return [numbers] if np.isnan(numbers).mean() < 0.5 else []


def _number(cell: str) -> float:
    try:
        return number(cell)
    except ValueError:
        return np.nan


def _decided(path: str, lines: np.ndarray, column: Candidate, any_step: bool) -> np.ndarray:
    """The one way in which a column is to be read: of two, the one whose steps are by far the more regular."""
    if len(column.ways) == 1:
        return column.ways[0]
    read = known(column.ways[0]) & known(column.ways[1])
    ways = [way[read] for way in column.ways]
    odd = [len(different) - 1 - steps(different).num_regular for different in map(np.unique, ways)]
    orders = [np.argsort(way, kind="stable") for way in ways]
    equal = np.array_equal(orders[0], orders[1]) and (max(odd) == 0 or any_step)
    if not equal and (max(odd) == 0 or 2 * min(odd) > max(odd)):
        what = f"{column.name} is {column.cells[int(np.argmax(read))]}, day and month or month and day: both can be"
        raise InputError(f"{path}, line {lines[read][0]}: {what}; write the dates as YYYY-MM-DD")
    return column.ways[int(np.argmin(odd))]
