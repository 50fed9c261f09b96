"""The datamodule of daily price ranges: forecasts a day's log range from earlier log ranges and returns."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from forecasting.baselines import forecasts, har
from forecasting.datamodule import RecordedDataModule, RecordedFit
from forecasting.series import Prices, own_file, packaged_file, prices_from_csv, sp500
from forecasting.series_datamodule import refuse_mending
from forecasting.time_order import Gaps, Mending, Order, Repeated
from forecasting.windows import Scale, Windows, fit_scale, origins, seasonal_error, single, split
from seqlab.attempts import Attempts
from seqlab.spec import Spec, Values, Vectors


class ReturnsFit(RecordedFit):
    """Statistics of prices that a forecast needs, measured on the training part.

    level: the mean log range.
    mean_return, return_deviation: mean and standard deviation of the returns.
    last: inherited; the scaled log range and return of each day of the last window.
    """

    level: float
    mean_return: float
    return_deviation: Annotated[float, Gt(0)]


class ReturnsDataModule(RecordedDataModule):
    """Daily prices of one asset: the next day's log range from the log ranges and returns of `window` days.

    A second output is the next day's return. Only its sign is evaluated, as a control.

    Args:
        csv: a file with columns High, Low and Close, one row per day; None: the S&P 500 of the package arch.
        time, order, repeated, gaps: see forecasting.time_order.Mending.
        window: number of days that a model reads.
        batch_size: windows in a batch.
        seed: seed of their order.

    Raises:
        ValueError: the prices cannot be read or are too few.
    """

    def __init__(
        self,
        *,
        csv: str | None = None,
        time: str | tuple[str, ...] | None = None,
        order: Order = "refuse",
        repeated: Repeated = "refuse",
        gaps: Gaps = "refuse",
        window: Annotated[int, Ge(22)] = 44,
        batch_size: Annotated[int, Ge(1)] = 32,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__(batch_size, seed)
        self.mending = Mending(time, order, repeated, gaps)
        if csv is None:
            refuse_mending(self.mending)
        self.csv, self.days = csv, window
        self.spec = Spec(Vectors(2), Values(2), max_length=window, readout="last")

    fitted_type = ReturnsFit

    @cached_property
    def prices(self) -> Prices:
        """The prices, read on first use."""
        self.refuse_changed_files()
        return sp500() if self.csv is None else prices_from_csv(self.csv, self.mending)

    @cached_property
    def ranges(self) -> np.ndarray:
        """The log range of each day, (days,) float64."""
        return self.prices.log_ranges()

    @cached_property
    def returns(self) -> np.ndarray:
        """The log return of each day, (days,) float64."""
        return self.prices.returns()

    def data_files(self) -> Mapping[str, Path]:
        return packaged_file("sp500") if self.csv is None else own_file(self.csv)

    def fit(self) -> ReturnsFit:
        num_train = split(len(self.ranges), self.window, 1)["train"].stop
        ranges, returns = (fit_scale(values[:num_train]) for values in (self.ranges, self.returns))
        return ReturnsFit(
            deviation=ranges.deviation,
            naive_error=seasonal_error(self.ranges[:num_train], 1),
            last=self.scaled(ranges, returns)[-self.window :].tolist(),
            level=ranges.mean,
            mean_return=returns.mean,
            return_deviation=returns.deviation,
        )

    def scaled(self, ranges: Scale, returns: Scale) -> np.ndarray:
        """Log range and return of each day, standardized by these scales, (days, 2)."""
        features = np.stack([self.ranges - ranges.mean, self.returns - returns.mean], 1)
        return features / [ranges.deviation, returns.deviation]

    @cached_property
    def features(self) -> np.ndarray:
        """Log range and return of each day, standardized by the training part, (days, 2)."""
        fitted = self.fitted
        return self.scaled(Scale(fitted.level, self.deviation), Scale(fitted.mean_return, fitted.return_deviation))

    @property
    def mean_return(self) -> float:
        """The mean return of the training part in units of its standard deviation, the scale of the second output."""
        return self.fitted.mean_return / self.fitted.return_deviation

    @property
    def window(self) -> int:
        return self.days

    @property
    def num_steps(self) -> int:
        return len(self.ranges)

    @property
    def lookback(self) -> int:
        return self.window

    @property
    def title(self) -> str:
        return (
            f"log range of the next day, {self.prices.description}: {self.num_steps:,} days, from {self.window}; "
            "split by time, 70% training, 10% validation, 20% test"
        )

    def windows(self, starts: np.ndarray) -> Windows:
        """The windows before the given days (n,): inputs (n, window, 2), targets (n, 2)."""
        read = single(self.features[starts[:, None] + np.arange(-self.window, 0)])
        return Windows(read, single(self.features[starts]), self.levels(len(starts)))

    def after_all(self) -> Windows:
        """The last window of the data, with zeros as targets."""
        return Windows(single(np.array(self.fitted.last))[None], torch.zeros(1, 2), self.levels(1))

    def levels(self, count: int) -> Tensor:
        """The mean log range of the training part for each window, (count, 1) float64."""
        return torch.full((count, 1), self.fitted.level, dtype=torch.float64)

    def baselines(self) -> Attempts[np.ndarray]:
        """The baselines of a series (last value, ridge on lags, ETS, ARIMA) on the log range, and HAR."""
        values, num_train = self.ranges, self.parts["train"].stop
        rows = forecasts(values, self.parts, window=self.window, horizon=1, seasons={})
        with rows.attempt("HAR"):
            rows["HAR"] = har(values, num_train, origins(self.parts["test"], 1))
        return rows
