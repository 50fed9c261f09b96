"""The datamodule of the copy problem."""

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from forecasting.long_memory import COPY_VOCABULARY, NUM_COPIED, copying
from seqlab.lit.datamodule import BlockStream, DataModule
from seqlab.spec import Classes, Spec, Tokens


class CopyDataModule(DataModule):
    """The copy problem as an endless stream: input and target ids, (batch, 2, length + 20) int64.

    Args:
        length: number of steps over which a model must remember ten symbols.
        batch_size: sequences in a batch.
        num_val, num_test: number of validation and test sequences.
        seed: seed of the data.
    """

    evaluation_batch_size = 256

    def __init__(
        self,
        *,
        length: Annotated[int, Ge(1)] = 100,
        batch_size: Annotated[int, Ge(1)] = 32,
        num_val: Annotated[int, Ge(1)] = 200,
        num_test: Annotated[int, Ge(1)] = 1000,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__()
        self.length, self.seed = length, seed
        self.num_val, self.num_test = num_val, num_test
        steps = length + 2 * NUM_COPIED
        self.spec = Spec(Tokens(COPY_VOCABULARY), Classes(COPY_VOCABULARY), max_length=steps)
        self.stream = BlockStream(lambda start, count: self.drawn("train", start, count), batch_size)

    def drawn(self, stream: str, start: int, count: int) -> Tensor:
        """Sequences start .. start + count - 1 of a stream: inputs and targets, (count, 2, length + 20) int64."""
        return torch.stack(copying(self.seed, stream, start, count, self.length), 1)

    def evaluation_set(self, split: Literal["val", "test"]) -> Tensor:
        return self.drawn(split, 0, self.num_val if split == "val" else self.num_test)
