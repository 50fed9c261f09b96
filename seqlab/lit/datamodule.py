"""The base of every domain's data module: batches are a function of the step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal

from lightning import LightningDataModule
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader

from seqlab.kept import FileRecords, Fitted, Kept, file_records, plain, records_of, refuse_changes, validated
from seqlab.randomness import permutation
from seqlab.spec import Spec


class StepBatches:
    """An endless iterable: the batch of step s, s + 1, ... from the step that training stands at.

    It keeps no position of its own, so a resumed run reads on where the checkpoint's step says. Batches are whole
    tensors already: no worker, no per-sample collate.
    """

    def __init__(self, batch: Callable[[int], Any], first_step: Callable[[], int]):
        self.batch = batch
        self.first_step = first_step

    def __iter__(self) -> Iterator[Any]:
        return map(self.batch, count(self.first_step()))


class DataModule(LightningDataModule, ABC):
    """A dataset that knows its Spec, makes the training batch of any step, and holds fixed validation and test parts.

    A domain writes `spec`, `seed`, `stream` and `evaluation_set`. One whose batches are no rows of a stream overrides
    `train_batch`.

    Data that were collected are read when they are first asked for, so that a run can be loaded where they are not:
    their domain names the files in `data_files`, and calls `refuse_changed_files` before it reads them. What it fits
    to the training part (a tokenizer, a scale) `fit` returns, as a `fitted_type`; from there on it uses
    `fitted`, which is what a checkpoint holds where the module was restored from one.
    """

    spec: Spec
    seed: int
    stream: "BlockStream | EpochStream"
    evaluation_batch_size: int = 1024
    fitted_type: ClassVar[type[Fitted]] = Fitted
    files_before: FileRecords | None = None

    def fit(self) -> Fitted:
        """Read the training data, and fit what using a trained model needs.

        Raises:
            ValueError: for data that are not there, or cannot be used.
        """
        return self.fitted_type()

    @cached_property
    def fitted(self) -> Any:
        """What was fitted, a `fitted_type`; when first asked for, the data are read."""
        return self.fit()

    def data_files(self) -> Mapping[str, Path]:
        """The files that the data come from, by the name that the user knows.

        Raises:
            ValueError: there are none where they should be.
        """
        return {}

    @cached_property
    def file_records(self) -> FileRecords:
        """Size and SHA-256 of each of `data_files`, taken once."""
        return records_of(self.data_files())

    @property
    def restored(self) -> bool:
        """Whether a checkpoint gave what was fitted."""
        return self.files_before is not None

    @property
    def kept(self) -> Kept:
        """What a checkpoint keeps of these data."""
        records = self.file_records if self.files_before is None else self.files_before
        return Kept(self.fitted.model_dump(), plain(records))

    def restore(self, kept: Kept) -> None:
        """Take what a checkpoint keeps in place of fitting anew.

        Raises:
            ValueError: it does not hold what this module fits.
        """
        self.fitted = validated(self.fitted_type, kept.fitted, "fitted")
        self.files_before = file_records(kept.data_files, "data_files")

    def refuse_changed_files(self) -> None:
        """Raise ValueError where a file is another one than it was when the run began that this was restored from."""
        if self.files_before is not None:
            refuse_changes(self.files_before, self.file_records)

    def train_batch(self, step: int) -> Any:
        """The training batch of optimizer step `step`, as the domain's loss reads it (a tensor, or a NamedTuple of
        tensors): a pure function of the seed and the step."""
        return self.stream.batch(step)

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps in a pass over the training samples; None for an endless stream."""
        return self.stream.steps_per_epoch

    @abstractmethod
    def evaluation_set(self, split: Literal["val", "test"]) -> Any:
        """All rows of a fixed split, as the domain's loss reads a batch."""

    def batches(self, split: Literal["val", "test"]) -> Iterator[Any]:
        """The rows of a split, `evaluation_batch_size` at a time."""
        rows = self.evaluation_set(split)
        for start in range(0, num_rows(rows), self.evaluation_batch_size):
            yield rows_between(rows, start, start + self.evaluation_batch_size)

    def val_dataloader(self) -> DataLoader:
        return DataLoader([*self.batches("val")], batch_size=None)  # type: ignore[arg-type]

    def test_dataloader(self) -> DataLoader:
        return DataLoader([*self.batches("test")], batch_size=None)  # type: ignore[arg-type]

    def train_dataloader(self) -> StepBatches:
        assert self.trainer is not None
        trainer = self.trainer
        return StepBatches(self.train_batch, lambda: trainer.global_step)


def num_rows(batch: Any) -> int:
    """The rows of a batch: a tensor, or a NamedTuple of tensors, with rows first."""
    return len(batch) if isinstance(batch, Tensor) else len(batch[0])


def rows_between(batch: Any, start: int, end: int) -> Any:
    """The rows start .. end - 1 of a batch; fewer where it ends before."""
    return apply_to_collection(batch, Tensor, lambda tensor: tensor[start:end])


def part_of(batch: Any, index: int, num_parts: int) -> Any:
    """The rows of part `index` of `num_parts`, as even as can be; None where it has none.

    >>> from torch import arange
    >>> [part_of(arange(5), index, 2).tolist() for index in (0, 1)]
    [[0, 1], [2, 3, 4]]
    """
    bounds = [num_rows(batch) * i // num_parts for i in (index, index + 1)]
    if bounds[0] == bounds[1]:
        return None
    return rows_between(batch, *bounds)


class BlockStream:
    """Batches of an endless stream of samples that is made in blocks of 64 batches.

    Args:
        samples: (start, count) -> the samples start .. start + count - 1, a tensor with samples first.
        batch_size: rows in a batch.
    """

    batches_per_block = 64
    steps_per_epoch = None

    def __init__(self, samples: Callable[[int, int], Tensor], batch_size: int):
        self.samples = samples
        self.batch_size = batch_size
        self.block_index = -1
        self.block: Tensor

    def batch(self, step: int) -> Tensor:
        """Samples step * batch_size onwards."""
        index, place = divmod(step, self.batches_per_block)
        if index != self.block_index:
            size = self.batches_per_block * self.batch_size
            self.block, self.block_index = self.samples(index * size, size), index
        return self.block[place * self.batch_size : (place + 1) * self.batch_size]


class EpochStream:
    """Batches of a fixed set of samples, permuted anew each epoch; the last batch of an epoch may be smaller."""

    def __init__(self, samples: Tensor, batch_size: int, seed: int):
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = -(-len(samples) // batch_size)
        self.epoch = -1
        self.order: Tensor

    def batch(self, step: int) -> Tensor:
        """The rows that step takes from its epoch's permutation."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.order, self.epoch = permutation(self.seed, "train", epoch, len(self.samples)), epoch
        return self.samples[self.order[place * self.batch_size : (place + 1) * self.batch_size]]
