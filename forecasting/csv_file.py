"""Reading a user's CSV file: its header, its rows with line numbers, and the numbers in its columns."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from forecasting.numerals import number
from seqlab.errors import InputError
from seqlab.files import at_home

SEPARATORS = (",", ";", "\t", "|")
NO_VALUE = {"", ".", "..", ":", "-", "na", "n/a", "#n/a", "nan", "null", "none"}  # FRED writes ".", Eurostat ":"


class Row(NamedTuple):
    """The stripped cells of a row and the line of the file where the row begins. A blank row has no cells."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class CsvFile:
    """The header and the rows of a CSV file, without trailing blank rows."""

    path: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]

    def place(self, column: str, key: str = "data.column") -> int:
        """The index of a column, from 0.

        Args:
            column: its name in the header.
            key: the option that names it, for the error message.

        Raises:
            InputError: the header has no such column, or several.
        """
        names = ", ".join(map(repr, self.header))
        if column not in self.header:
            raise InputError(f"{self.path} has no column {column!r}; it has {names}")
        if self.header.count(column) > 1:
            raise InputError(f"{key}={column}: {self.path} has several columns of this name; it has {names}")
        return self.header.index(column)

    def cells(self, place: int) -> list[str]:
        """The cells of a column, one per row; "" if a row is too short."""
        return [row.cells[place] if place < len(row.cells) else "" for row in self.rows]

    def values(self, columns: Sequence[str]) -> np.ndarray:
        """The numbers in the given columns, (rows, columns) float64; NaN for cells in NO_VALUE.

        Raises:
            InputError: a cell is not a finite number. The message gives its line.
        """
        places = [self.place(column) for column in columns]
        table = np.full((len(self.rows), len(columns)), np.nan)
        for number_of_column, (column, place) in enumerate(zip(columns, places, strict=True)):
            for number_of_row, (row, cell) in enumerate(zip(self.rows, self.cells(place), strict=True)):
                if cell.lower() not in NO_VALUE:
                    try:
                        table[number_of_row, number_of_column] = number(cell)
                    except ValueError as error:
                        raise InputError(f"{self.path}, line {row.line}: {column} is {error}") from None
        return table


def read_csv(path: str | Path, columns: Sequence[str]) -> CsvFile:
    """Read a UTF-8 file whose first non-blank row is the header, separated by comma, semicolon, tab or bar.

    Args:
        path: the file.
        columns: columns that should be there. The first separator that yields all of them is used, else the one with
            the longest header.

    Raises:
        InputError: the file cannot be read or is empty.
    """
    try:
        text = at_home(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"data.csv={path}: no such file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        what = f"line {line} is not UTF-8 (byte 0x{error.object[error.start]:02x}); save the file as UTF-8"
        raise InputError(f"data.csv={path} cannot be read as CSV: {what}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"data.csv={path} cannot be read as CSV: {reason}") from error
    headers, faults = {}, []
    for separator in SEPARATORS:
        try:
            headers[separator] = next(filter(None, (row.cells for row in _rows(path, text, separator))), ())
        except InputError as error:
            faults.append(error)
    if not headers:
        raise faults[0]
    fits = (separator for separator, header in headers.items() if set(columns) <= set(_named(header)))
    separator = next(fits, max(headers, key=lambda separator: len(headers[separator])))
    rows = list(_rows(path, text, separator))
    filled = [place for place, row in enumerate(rows) if row.cells]
    if not filled:
        raise InputError(f"data.csv={path} is empty")
    return CsvFile(str(path), _named(headers[separator]), tuple(rows[filled[0] + 1 : filled[-1] + 1]))


def _rows(path: str | Path, text: str, separator: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            stripped = tuple(map(str.strip, cells))
            yield Row(line, stripped if any(stripped) else ())
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"data.csv={path} cannot be read as CSV: line {line}: {error}") from error


def _named(header: Sequence[str]) -> tuple[str, ...]:
    """The column names with whitespace normalized: a name may span several lines."""
    return tuple(" ".join(name.split()) for name in header)
