"""Finding and parsing the time column of a CSV file."""

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

# A column of plain numbers holds times only if its name says so: "year", "Unix Timestamp (s)", not "response time".
SAYS_WHEN = {
    "date", "datetime", "time", "timestamp", "year", "period", "epoch", "unix", "unixtime", "datum", "zeit", "jahr",
    "fecha", "año", "année", "annee", "anno",
}  # fmt: skip
PART = {"quarter", "month", "week", "day", "hour", "minute", "second"}  # only a part of a time if numbers repeat
MAY_STAND_BESIDE = {"of", "in", "at", "s", "ms", "us", "ns", "sec", "seconds", "utc", "gmt", "local", "decimal", "obs"}
WORD = re.compile(r"[^\W\d_]+")


class Axis(NamedTuple):
    """The times of rows of a file.

    path: path of the file.
    lines: (rows,) line numbers in the file.
    name: name of the column, or several names separated by spaces.
    cells: (rows,) the times as text.
    moments: (rows,) datetime64[us], or float64 if they are plain numbers.
    """

    path: str
    lines: np.ndarray
    name: str
    cells: list[str]
    moments: np.ndarray

    def at(self, row: int) -> str:
        """The time of a row as written in the file, with its line."""
        return f"{self.cells[row]} (line {self.lines[row]})"

    def among(self, rows: np.ndarray) -> "Axis":
        """The axis of the given rows (indices)."""
        return self._replace(lines=self.lines[rows], cells=[self.cells[r] for r in rows], moments=self.moments[rows])


class Candidate(NamedTuple):
    """A column, or several combined, with each way to parse it as times (none, one, or two)."""

    name: str
    cells: list[str]
    ways: list[np.ndarray]


def find_axis(
    file: CsvFile, values: Sequence[str], needed: np.ndarray, time: str | Sequence[str] | None, *, any_step: bool
) -> Axis | None:
    """The times of all rows of a file, or None if there is no time column.

    Args:
        file: the CSV file.
        values: the columns of the series, which cannot be the time column.
        needed: (rows,) bool, whether the time of a row must be known. Other times may be NaT (NaN for plain numbers).
        time: the time column, or several to combine (a day and its hour); an empty sequence: no times; None: the
            column that parses as dates, else a column of numbers whose name says that it holds times.
        any_step: whether only the order matters, not the step.

    Raises:
        InputError: several columns are possible, or a cell cannot be parsed.
    """
    if time is not None:
        names = [time] if isinstance(time, str) else list(time)
        found = [_named(file, names)] if names else []
    elif len(found := _candidates(file, values)) > 1:
        columns = " and ".join(repr(candidate.name) for candidate in found)
        raise InputError(
            f"{file.path}: {columns} can be read as times: choose one, for example data.time={found[0].name}, or none, "
            "data.time=[]"
        )
    if not found:
        return None
    column, lines = found[0], np.array([row.line for row in file.rows])
    for way in column.ways:
        if (unread := needed & ~known(way)).any():
            row = int(np.argmax(unread))
            what = f"{column.name} is {reprlib.repr(column.cells[row])}, not a time in the format of the other rows"
            raise InputError(f"{file.path}, line {lines[row]}: {what}; data.time=[] takes the rows in file order")
    return Axis(file.path, lines, column.name, column.cells, _decided(file.path, lines, column, any_step))


def known(moments: np.ndarray) -> np.ndarray:
    """Which times are known, (rows,) bool."""
    return ~(np.isnan(moments) if moments.dtype.kind == "f" else np.isnat(moments))


def _named(file: CsvFile, names: Sequence[str]) -> Candidate:
    parts = zip(*(file.cells(file.place(name, "data.time")) for name in names), strict=True)
    cells = [" ".join(part).strip() for part in parts]
    name = " ".join(names)
    if not (ways := readings(cells) or _plain_ways(cells)):
        first = reprlib.repr(next(filter(None, cells), ""))
        raise InputError(f"{file.path}: data.time={name}: {first} is not a time in a known format")
    return Candidate(name, cells, ways)


def _candidates(file: CsvFile, values: Sequence[str]) -> list[Candidate]:
    """The columns that parse as dates; if there are none, the columns of numbers whose names say that they hold times.

    Constant columns are skipped. A column of mostly repeated numbers counts only if it is the only one named so: a year
    next to a month is half of a time.
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
    """Parses of plain numbers: as 20200131 or 202001, else as numbers."""
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
    """The parse of a column. Of two, the one whose steps are much more regular; InputError if neither is."""
    if len(column.ways) == 1:
        return column.ways[0]
    read = known(column.ways[0]) & known(column.ways[1])
    ways = [way[read] for way in column.ways]
    odd = [len(different) - 1 - steps(different).num_regular for different in map(np.unique, ways)]
    orders = [np.argsort(way, kind="stable") for way in ways]
    equal = np.array_equal(orders[0], orders[1]) and (max(odd) == 0 or any_step)
    if not equal and (max(odd) == 0 or 2 * min(odd) > max(odd)):
        what = f"{column.name} is {column.cells[int(np.argmax(read))]}: day and month, or month and day, is ambiguous"
        raise InputError(f"{path}, line {lines[read][0]}: {what}; write the dates as YYYY-MM-DD")
    return column.ways[int(np.argmin(odd))]
