"""The datamodule of the adding problem."""

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from forecasting.datamodule import ForecastDataModule
from forecasting.long_memory import adding
from forecasting.windows import Windows
from seqlab.attempts import Attempts
from seqlab.lit.datamodule import BlockStream
from seqlab.spec import Spec, Values, Vectors


class AddingDataModule(ForecastDataModule):
    """The adding problem (forecasting/long_memory.py) as an endless stream.

    Args:
        length: steps of a sequence.
        batch_size: sequences in a batch.
        num_val, num_test: number of validation and test sequences.
        seed: seed of the data.
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
        self.held_out = {split: self.drawn(split, 0, n) for split, n in (("val", num_val), ("test", num_test))}
        self.stream = BlockStream(lambda start, count: packed(self.drawn("train", start, count)), batch_size)

    @property
    def title(self) -> str:
        return f"the adding problem, {self.length} steps; new random numbers for every sequence"

    @property
    def val(self) -> Windows:
        return self.held_out["val"]

    @property
    def test(self) -> Windows:
        return self.held_out["test"]

    def drawn(self, stream: str, start: int, count: int) -> Windows:
        """Sequences start .. start + count - 1 of a stream, as windows at level 0."""
        inputs, targets = adding(self.seed, stream, start, count, self.length)
        return Windows(inputs, targets, torch.zeros(count, 1, dtype=torch.float64))

    def train_batch(self, step: int) -> Windows:
        rows = self.stream.batch(step)
        inputs = rows[:, 1:].view(len(rows), self.length, 2)
        return Windows(inputs, rows[:, :1], torch.zeros(len(rows), 1, dtype=torch.float64))

    def baselines(self) -> Attempts[np.ndarray]:
        """Always predicts the mean, 1: the best forecast without memory."""
        rows = Attempts[np.ndarray]()
        rows["always 1"] = np.ones((len(self.test.targets), 1))
        return rows


def packed(windows: Windows) -> Tensor:
    """Targets and inputs concatenated, one row per sequence, as a BlockStream stores them: (n, 1 + 2 length)."""
    return torch.cat([windows.targets, windows.inputs.flatten(1)], 1)
