"""Base classes of forecasting data: windows of vectors and the values after them."""

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from forecasting.windows import Windows, origins, split
from seqlab.attempts import Attempts
from seqlab.kept import Fitted, Kept
from seqlab.lit.datamodule import DataModule, EpochStream


class ForecastDataModule(DataModule):
    """Windows of vectors and the values after them.

    A subclass defines `spec`, `train_batch`, `title`, `val`, `test` and `baselines`. A forecast is level + deviation *
    model output, with the level of its window.
    """

    evaluation_batch_size = 256

    @property
    @abstractmethod
    def title(self) -> str:
        """One line on what is forecast from what, and how the data are split."""

    @property
    @abstractmethod
    def val(self) -> Windows:
        """The validation part."""

    @property
    @abstractmethod
    def test(self) -> Windows:
        """The test part."""

    @abstractmethod
    def baselines(self) -> Attempts[np.ndarray]:
        """Baseline forecasts of the test part by name, (n, H), in the unit of the series."""

    @property
    def horizon(self) -> int:
        """The number of steps per forecast."""
        return 1

    @property
    def deviation(self) -> float:
        """The size of a model output of 1 in the unit of the series."""
        return 1.0

    @property
    def naive_error(self) -> float | None:
        """The denominator of MASE, or None."""
        return None

    def in_units(self, scaled: Tensor, level: Tensor) -> Tensor:
        """Scaled values (n, H) at levels (n, 1) in the unit of the series, float64."""
        return level + self.deviation * scaled.double()

    def evaluation_set(self, split: Literal["val", "test"]) -> Windows:
        return self.val if split == "val" else self.test


class RecordedFit(Fitted):
    """Statistics of recorded data that a forecast needs.

    deviation: the standard deviation of the training part, in the unit of the series.
    naive_error: the denominator of MASE, in the unit of the series.
    last: the last window of the data, a list of numbers per step. It is used for an empty prompt.
    """

    deviation: Annotated[float, Gt(0)]
    naive_error: Annotated[float, Ge(0)]
    last: list[list[float]]


class RecordedDataModule(ForecastDataModule):
    """Recorded data: a finite set of training windows, permuted again each epoch.

    A subclass defines `window`, `num_steps`, `lookback` and `windows`, and fits a RecordedFit.

    Args:
        batch_size: windows in a batch.
        seed: seed of their order.
    """

    def __init__(self, batch_size: int, seed: int):
        super().__init__()
        self.batch_size, self.seed = batch_size, seed

    @property
    @abstractmethod
    def window(self) -> int:
        """The number of steps that a model reads."""

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """The number of steps of the whole series."""

    @property
    @abstractmethod
    def lookback(self) -> int:
        """The minimum number of steps before the first forecast step."""

    @abstractmethod
    def windows(self, starts: np.ndarray) -> Windows:
        """The windows with the given first forecast steps, (n,)."""

    def restore(self, kept: Kept) -> None:
        super().restore(kept)
        if len(self.fitted.last) != self.window:
            raise ValueError(f"fitted.last: {len(self.fitted.last)} steps, and a window has {self.window}")
        widths = {len(step) for step in self.fitted.last}
        if widths != {width := self.spec.input.width}:  # type: ignore[union-attr]
            raise ValueError(f"fitted.last: steps of {sorted(widths)} numbers, and the model reads {width}")

    @property
    def deviation(self) -> float:
        return self.fitted.deviation

    @property
    def naive_error(self) -> float:
        return self.fitted.naive_error

    @cached_property
    def parts(self) -> dict[str, range]:
        """The steps to forecast in train, val and test."""
        return split(self.num_steps, self.lookback, self.horizon)

    @cached_property
    def windows_of(self) -> dict[str, Windows]:
        """All windows of each part."""
        return {name: self.windows(origins(part, self.horizon)) for name, part in self.parts.items()}

    @property
    def train(self) -> Windows:
        """The training part."""
        return self.windows_of["train"]

    @property
    def val(self) -> Windows:
        return self.windows_of["val"]

    @property
    def test(self) -> Windows:
        return self.windows_of["test"]

    @cached_property
    def stream(self) -> EpochStream:  # type: ignore[override]
        """The indices of the training windows, in batches."""
        return EpochStream(torch.arange(len(self.train.targets)), self.batch_size, self.seed)

    def train_batch(self, step: int) -> Windows:
        chosen = self.stream.batch(step)
        return Windows(*(part[chosen] for part in self.train))
