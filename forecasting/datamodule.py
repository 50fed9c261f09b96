"""What data to be forecast have in common: windows of vectors, and the values that follow them."""

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
    """Windows of vectors and the values that follow them.

    A dataset writes `spec`, `train_batch`, `title`, `val`, `test` and `baselines`. A value is level + deviation * what
    a model says, with the level of its window.
    """

    evaluation_batch_size = 256

    @property
    @abstractmethod
    def title(self) -> str:
        """What is forecast from what, and how it is split."""

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
        """Forecasts of the test part by name, (n, H), in the unit of the series; those that can be had."""

    @property
    def horizon(self) -> int:
        """The steps that are forecast at once."""
        return 1

    @property
    def deviation(self) -> float:
        """What 1 is in the unit of the series, where a model says it."""
        return 1.0

    @property
    def naive_error(self) -> float | None:
        """The unit of MASE, where there is one."""
        return None

    def in_units(self, scaled: Tensor, level: Tensor) -> Tensor:
        """Values in the unit of the series, float64."""
        return level + self.deviation * scaled.double()

    def evaluation_set(self, split: Literal["val", "test"]) -> Windows:
        return self.val if split == "val" else self.test


class RecordedFit(Fitted):
    """What a forecast needs of the data that were measured.

    deviation: the standard deviation of the training part, in the unit of the series.
    naive_error: the unit of MASE, likewise.
    last: what ends the data, a list of numbers for each step that a window has: what an empty prompt stands for.
    """

    deviation: Annotated[float, Gt(0)]
    naive_error: Annotated[float, Ge(0)]
    last: list[list[float]]


class RecordedDataModule(ForecastDataModule):
    """Data that were measured: the training windows are all there, and permuted anew each epoch.

    A class writes `window`, `num_steps`, `lookback` and `windows`, and fits a RecordedFit.

    Args:
        batch_size: windows in a batch.
        seed: of their order.
    """

    def __init__(self, batch_size: int, seed: int):
        super().__init__()
        self.batch_size, self.seed = batch_size, seed

    @property
    @abstractmethod
    def window(self) -> int:
        """The steps that are read."""

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """The steps of the whole series."""

    @property
    @abstractmethod
    def lookback(self) -> int:
        """The steps that must lie before the first one that is forecast."""

    @abstractmethod
    def windows(self, starts: np.ndarray) -> Windows:
        """The windows whose first forecast steps are given, (n,)."""

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
        """The steps that train, val and test forecast."""
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
        """The numbers of the training windows, batch by batch."""
        return EpochStream(torch.arange(len(self.train.targets)), self.batch_size, self.seed)

    def train_batch(self, step: int) -> Windows:
        chosen = self.stream.batch(step)
        return Windows(*(part[chosen] for part in self.train))
