"""A data set: bits in, and at each step whether most bits so far are ones. Its data module and its task."""

from types import MappingProxyType
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqlab.errors import InputError
from seqlab.lit.datamodule import BlockStream, DataModule
from seqlab.metrics import Mean
from seqlab.model import SequenceModel, device_of, evaluating
from seqlab.proportion import Proportion
from seqlab.randomness import uniforms
from seqlab.spec import Classes, Spec, Tokens
from seqlab.task import Results, Split, Task


class MajorityDataModule(DataModule):
    """Bits (batch, length) int64, an endless stream: sample i is a function of (seed, split, i)."""

    def __init__(self, *, seed: int, length: Annotated[int, Ge(1)] = 32, batch_size: Annotated[int, Ge(1)] = 64):
        super().__init__()
        self.length, self.seed = length, seed
        self.spec = Spec(Tokens(2), Classes(2), max_length=length)
        self.stream = BlockStream(lambda start, count: self.bits("train", start, count), batch_size)

    def bits(self, split: str, start: int, count: int) -> Tensor:
        """Sequences start .. start + count - 1 of a split."""
        return (uniforms(self.seed, split, start, count, self.length) < 0.5).long()

    def evaluation_set(self, split: Split) -> Tensor:
        return self.bits(split, 0, 256)


def majority(bits: Tensor) -> Tensor:
    """Whether there are more ones than zeros so far: 1 0 1 gives 1 0 1."""
    return ((2 * bits - 1).cumsum(1) > 0).long()


class Majority(Task[MajorityDataModule, SequenceModel]):
    """The majority at every step."""

    columns = MappingProxyType({"loss": "test/loss", "accuracy": "test/accuracy"})
    better = MappingProxyType({"test/loss": "low", "test/accuracy": "high"})

    def title(self) -> str:
        return f"majority of up to {self.data.length} bits; splits are drawn apart"

    def loss(self, model: SequenceModel, batch: Tensor) -> Tensor:
        return cross_entropy(model(batch).flatten(0, 1), majority(batch).flatten())

    def evaluate(self, model: SequenceModel, split: Split) -> Results:
        loss, correct = Mean(), []
        with evaluating(model):
            for bits in self.batches(model, split):
                loss.update(self.loss(model, bits), len(bits))
                correct.append((model(bits).argmax(-1) == majority(bits)).cpu())
        return {f"{split}/loss": loss.compute(), f"{split}/accuracy": accuracy(torch.cat(correct))}

    def baselines(self) -> dict[str, Results]:
        """A shortcut, and by its name what knows the optimum (`Task.optimal`)."""
        bits = self.data.evaluation_set("test")
        return {
            "the bit read": {"test/accuracy": accuracy(bits == majority(bits))},
            "oracle": {"test/loss": 0.0, "test/accuracy": 1.0},
        }

    def sample_prompt(self) -> str:
        return "1 0 1 1"

    def parse_prompt(self, text: str) -> Tensor:
        if not 1 <= len(words := text.split()) <= self.data.length or set(words) - {"0", "1"}:
            raise InputError(f"{text!r}: 1 to {self.data.length} bits 0 or 1 are needed, blanks between")
        return torch.tensor([[int(word) for word in words]])

    def describe(self, model: SequenceModel, prompt: Tensor) -> str:
        with evaluating(model):
            return f"majority  {model(prompt.to(device_of(model))).argmax(-1)[0].tolist()}"


def accuracy(correct: Tensor) -> Proportion:
    """Of all answers (strings, steps). Those to one string depend on each other, so its interval counts strings."""
    return Proportion.clustered(correct.flatten(), torch.arange(len(correct)).repeat_interleave(correct.shape[1]))
