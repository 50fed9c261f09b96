"""Integer sequences made by rules as training, validation and test data."""

from functools import cached_property
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from seqlab.lit.datamodule import BlockStream, DataModule
from seqlab.spec import Classes, Spec, Tokens
from sequences.curriculum import FINAL_MIX, Samples, draw, mixture
from sequences.family import NUM_TERMS, NUM_VALUES


class RecurrenceDataModule(DataModule):
    """Nine terms a sequence, (batch, 9) int64, MASKED where one has ended: eight to read, the next of each to tell.

    Training follows the curriculum: the mixture of phases that sample i is drawn from is a function of its step,
    i // batch_size. Validation and test are the final mixture, with rules and sequences that training never draws.

    Args:
        batch_size: rows in a batch.
        total_steps: the steps that the curriculum is spread over.
        num_val, num_test: sequences that validation and test are measured on.
        embedding: how a model reads an integer (seqlab/nn/embedding.py).
        num_waves: frequencies k = 1 .. num_waves of the Fourier embedding.
        seed: of the data.
    """

    def __init__(
        self,
        *,
        total_steps: Annotated[int, Ge(1)],
        batch_size: Annotated[int, Ge(1)] = 32,
        num_val: Annotated[int, Ge(1)] = 2000,
        num_test: Annotated[int, Ge(1)] = 8000,
        embedding: Literal["fourier", "learned", "scalar", "pair"] = "fourier",
        num_waves: Annotated[int, Interval(ge=1, le=128)] = 16,
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__()
        self.batch_size = batch_size
        self.total_steps = total_steps
        self.num_val, self.num_test = num_val, num_test
        self.seed = seed
        self.spec = Spec(Tokens(NUM_VALUES, embedding, num_waves), Classes(NUM_VALUES), max_length=NUM_TERMS - 1)
        self.stream = BlockStream(self._train_terms, batch_size)

    def _train_terms(self, start: int, count: int) -> Tensor:
        def shares(indices: Tensor) -> Tensor:
            return mixture(torch.div(indices, self.batch_size, rounding_mode="floor").double() / self.total_steps)

        return draw(self.seed, "train", start, count, shares).terms

    def held_out(self, split: Literal["val", "test"]) -> Samples:
        """The sequences of a split, from the final mixture; the first thousand are the same whatever their number."""
        count = self.num_val if split == "val" else self.num_test
        final = torch.tensor(FINAL_MIX, dtype=torch.float64)
        return draw(self.seed, split, 0, count, lambda indices: final.expand(len(indices), -1))

    @cached_property
    def val_samples(self) -> Samples:
        """All validation sequences."""
        return self.held_out("val")

    @cached_property
    def test_samples(self) -> Samples:
        """All test sequences."""
        return self.held_out("test")

    def evaluation_set(self, split: Literal["val", "test"]) -> Samples:
        return self.val_samples if split == "val" else self.test_samples
