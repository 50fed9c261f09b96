"""The base of every domain's data module: batches are a function of the step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from lightning import LightningDataModule
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader

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

    A domain writes `spec`, `train_batch`, `val_dataloader` and `test_dataloader`.
    """

    spec: Spec

    @abstractmethod
    def train_batch(self, step: int) -> Any:
        """The training batch of optimizer step `step`, as the domain's loss reads it (a tensor, or a NamedTuple of
        tensors): a pure function of the seed and the step."""

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int | None:
        """Steps in a pass over the training samples; None for an endless stream."""

    def train_dataloader(self) -> StepBatches:
        assert self.trainer is not None
        trainer = self.trainer
        return StepBatches(self.train_batch, lambda: trainer.global_step)


def num_rows(batch: Any) -> int:
    """The rows of a batch: a tensor, or a NamedTuple of tensors, with rows first."""
    return len(batch) if isinstance(batch, Tensor) else len(batch[0])


def part_of(batch: Any, index: int, num_parts: int) -> Any:
    """The rows of part `index` of `num_parts`, as even as can be; None where it has none.

    >>> from torch import arange
    >>> [part_of(arange(5), index, 2).tolist() for index in (0, 1)]
    [[0, 1], [2, 3, 4]]
    """
    bounds = [num_rows(batch) * i // num_parts for i in (index, index + 1)]
    if bounds[0] == bounds[1]:
        return None
    return apply_to_collection(batch, Tensor, lambda tensor: tensor[slice(*bounds)])


class BlockStream:
    """Batches of an endless stream of samples that is made in blocks of 64 batches.

    Args:
        samples: (start, count) -> the samples start .. start + count - 1, a tensor with samples first.
        batch_size: rows in a batch.
    """

    batches_per_block = 64

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


def in_batches(samples: Tensor, batch_size: int) -> DataLoader:
    """A fixed set, batch by batch, for validation and test."""
    return DataLoader(samples.split(batch_size), batch_size=None)  # type: ignore[arg-type]
