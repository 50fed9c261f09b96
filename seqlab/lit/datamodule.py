"""The base class of every domain's data module: batches are a function of the step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning import LightningDataModule
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from seqlab.kept import FileRecords, Fitted, Kept, file_records, plain, records_of, refuse_changes, validated
from seqlab.randomness import permutation
from seqlab.spec import Spec


class StepBatches:
    """An endless iterable over the batches of steps s, s + 1, ..., starting at the current step of training.

    It keeps no position of its own, so a resumed run continues at the checkpoint's step. It yields complete batches,
    without workers or per-sample collation.
    """

    def __init__(self, batch: Callable[[int], Any], first_step: Callable[[], int]):
        self.batch = batch
        self.first_step = first_step

    def __iter__(self) -> Iterator[Any]:
        return map(self.batch, count(self.first_step()))


class SplitBatches:
    """The batches of a fixed split, made anew by each iteration: none is kept."""

    def __init__(self, batches: Callable[[], Iterator[Any]]):
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self.batches()


class DataModule(LightningDataModule, ABC):
    """A dataset with a Spec, the training batch of any step, and fixed validation and test sets.

    A subclass defines `spec`, `seed`, `stream` and `evaluation_set`. It overrides `train_batch` if its batches are not
    rows of a stream.

    Data in files are read on first use, so that a run can be loaded without them. A subclass with files lists them in
    `data_files` and calls `refuse_changed_files` before it reads them. `fit` returns what is fitted to the training set
    (a tokenizer, a scale) as a `fitted_type`. All other code uses `fitted`, which comes from the checkpoint if the
    module was restored from one.
    """

    spec: Spec
    seed: int
    stream: "BlockStream | EpochStream"
    evaluation_batch_size: int = 1024
    fitted_type: ClassVar[type[Fitted]] = Fitted
    files_before: FileRecords | None = None

    def fit(self) -> Fitted:
        """Read the training data and fit the values that using a trained model needs.

        Raises:
            ValueError: data are missing or unusable.
        """
        return self.fitted_type()

    @cached_property
    def fitted(self) -> Any:
        """The fitted values, a `fitted_type`. The first access reads the data, unless the module was restored."""
        return self.fit()

    def data_files(self) -> Mapping[str, Path]:
        """The files of the data, by user-visible name.

        Raises:
            ValueError: files are missing.
        """
        return {}

    @cached_property
    def file_records(self) -> FileRecords:
        """Size and SHA-256 of each file in `data_files`, computed once."""
        return records_of(self.data_files())

    @property
    def restored(self) -> bool:
        """Whether the fitted values come from a checkpoint."""
        return self.files_before is not None

    @property
    def kept(self) -> Kept:
        """What a checkpoint stores about these data."""
        records = self.file_records if self.files_before is None else self.files_before
        return Kept(self.fitted.model_dump(), plain(records))

    def restore(self, kept: Kept) -> None:
        """Use the values of a checkpoint instead of fitting again.

        Raises:
            ValueError: the values do not fit this module.
        """
        self.fitted = validated(self.fitted_type, kept.fitted, "fitted")
        self.files_before = file_records(kept.data_files, "data_files")

    def refuse_changed_files(self) -> None:
        """Raise ValueError if a file has changed since the run that this module was restored from started."""
        if self.files_before is not None:
            refuse_changes(self.files_before, self.file_records)

    def train_batch(self, step: int) -> Any:
        """The training batch of optimizer step `step`, a pure function of the seed and the step.

        A tensor or a NamedTuple of tensors, as the domain's loss takes it.
        """
        return self.stream.batch(step)

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps per pass over the training samples; None for an endless stream."""
        return self.stream.steps_per_epoch

    @abstractmethod
    def evaluation_set(self, split: Literal["val", "test"]) -> Any:
        """All rows of a fixed split, in the format of a batch."""

    def batches(self, split: Literal["val", "test"]) -> Iterator[Any]:
        """The rows of a split, `evaluation_batch_size` at a time."""
        rows = self.evaluation_set(split)
        for start in range(0, num_rows(rows), self.evaluation_batch_size):
            yield rows_between(rows, start, start + self.evaluation_batch_size)

    def val_dataloader(self) -> "SplitBatches":
        return SplitBatches(lambda: self.batches("val"))

    def test_dataloader(self) -> "SplitBatches":
        return SplitBatches(lambda: self.batches("test"))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a training batch. A task moves the batches of an evaluation itself, see Module.validation_step."""
        assert self.trainer is not None
        if not self.trainer.training:
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def train_dataloader(self) -> StepBatches:
        trainer = self.trainer
        if trainer is None:
            raise ValueError("a loader of training batches needs a Trainer; without one, use train_batch(step)")
        stream = getattr(self, "stream", None)  # none where `train_batch` is overridden
        if isinstance(stream, BlockStream):
            stream.num_steps = trainer.max_steps
        return StepBatches(self.train_batch, lambda: trainer.global_step)


def num_rows(batch: Any) -> int:
    """The number of rows of a batch: a tensor or a NamedTuple of tensors, with rows first."""
    return len(batch) if isinstance(batch, Tensor) else len(batch[0])


def rows_between(batch: Any, start: int, end: int) -> Any:
    """The rows start .. end - 1 of a batch, or fewer if the batch is shorter."""
    return apply_to_collection(batch, Tensor, lambda tensor: tensor[start:end])


def part_of(batch: Any, index: int, num_parts: int) -> Any:
    """Part `index` of a batch split into `num_parts` parts of nearly equal size; None if the part is empty.

    >>> from torch import arange
    >>> [part_of(arange(5), index, 2).tolist() for index in (0, 1)]
    [[0, 1], [2, 3, 4]]
    """
    bounds = [num_rows(batch) * i // num_parts for i in (index, index + 1)]
    if bounds[0] == bounds[1]:
        return None
    return rows_between(batch, *bounds)


class BlockStream:
    """Batches of an endless stream of samples, generated in blocks of at most 64 batches.

    Args:
        samples: (start, count) -> the samples start .. start + count - 1, a tensor with samples first.
        batch_size: rows per batch.

    num_steps: the number of steps of the job, if it is known; no block has more batches than the job still needs.
    """

    batches_per_block = 64
    steps_per_epoch = None
    num_steps: int | None = None

    def __init__(self, samples: Callable[[int, int], Tensor], batch_size: int):
        self.samples = samples
        self.batch_size = batch_size
        self.steps = range(0)  # of the block
        self.block: Tensor

    def batch(self, step: int) -> Tensor:
        """The batch of a step: `batch_size` samples from step * batch_size."""
        if step not in self.steps:
            self.steps = self._steps_around(step)
            self.block = self.samples(self.steps.start * self.batch_size, len(self.steps) * self.batch_size)
        place = step - self.steps.start
        return self.block[place * self.batch_size : (place + 1) * self.batch_size]

    def _steps_around(self, step: int) -> range:
        """The steps of the block that has a step. The batch that Lightning fetches after the last step is a block."""
        first = step - step % self.batches_per_block
        last = first + self.batches_per_block
        if self.num_steps is None:
            return range(first, last)
        return range(first, min(last, self.num_steps)) if step < self.num_steps else range(step, step + 1)


class EpochStream:
    """Batches of a fixed set of samples, permuted in each epoch. The last batch of an epoch may be smaller."""

    def __init__(self, samples: Tensor, batch_size: int, seed: int):
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = -(-len(samples) // batch_size)
        self.epoch = -1
        self.order: Tensor

    def batch(self, step: int) -> Tensor:
        """The batch of a step, from its epoch's permutation."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.order, self.epoch = permutation(self.seed, "train", epoch, len(self.samples)), epoch
        return self.samples[self.order[place * self.batch_size : (place + 1) * self.batch_size]]
