"""The contract of a task: its loss, its evaluation, its baselines and its prompts. A task knows no trainer."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from torch import Tensor, nn

from seqlab.errors import InputError
from seqlab.kept import FileRecords
from seqlab.model import device_of
from seqlab.proportion import Proportion
from seqlab.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = Mapping[str, Proportion | float]
Split = Literal["val", "test"]


class Data(Protocol):
    """What a task needs of its data. Every `seqlab.lit.datamodule.DataModule` has it."""

    @property
    def spec(self) -> Spec:
        """What goes in and what comes out."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the data, from which baselines and samples draw too."""
        ...

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps in a pass over the training samples; None for an endless stream."""
        ...

    def batches(self, split: Split) -> Iterator[Any]:
        """The validation or test set, batch by batch."""
        ...


D = TypeVar("D", bound=Data)
M = TypeVar("M", bound=nn.Module)


class Task(ABC, Generic[D, M]):
    """What a model is trained for on some data, and how it is measured.

    `task.loss(model, batch)` and `task.evaluate(model, "test")` work in a notebook and under any trainer.

    Args:
        datamodule: the data.

    columns: heading -> metric, for tables over many runs. better: metric -> low or high, where there is a best.
    """

    columns: ClassVar[Mapping[str, str]]
    better: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, datamodule: D):
        self.data = datamodule

    def check_model(self, model: M) -> None:
        """Raise ValueError when a model cannot serve this task."""

    @abstractmethod
    def loss(self, model: M, batch: Any) -> Tensor:
        """The mean training loss of a batch, a scalar."""

    def num_targets(self, batch: Any) -> int:
        """The number of targets that `loss` averages over. Override it when rows differ in length."""
        return len(batch) if isinstance(batch, Tensor) else len(batch[0])

    @abstractmethod
    def evaluate(self, model: M, split: Split) -> Results:
        """Every metric of a model on a split, named `split/metric`. The model keeps its mode (training or not)."""

    def watch(self, model: M) -> tuple[Results, Mapping[str, str]]:
        """What a validation during training logs: metrics of the validation set, and texts in Markdown by name."""
        return self.evaluate(model, "val"), {}

    def rates(self, batch: Any) -> Mapping[str, int]:
        """Counts of a batch that the log shows per second, by metric name."""
        return {}

    @abstractmethod
    def title(self) -> str:
        """One line that names the task, and says how its splits are kept apart."""

    @abstractmethod
    def baselines(self) -> Mapping[str, Results]:
        """Results of chance and of every baseline on the test set, with the metric names of `evaluate`.

        A seqlab.attempts.Attempts also says which baselines failed, and why.
        """

    def examples(self, model: M) -> list[dict[str, Any]]:
        """The model's answers to evaluation inputs, one plain record each (for predictions.jsonl)."""
        return []

    def figures(self, model: M, results: Results, baselines: Mapping[str, Results]) -> Mapping[str, "Figure"]:
        """Figures of this task after a test, by name. May be Attempts too.

        Args:
            model: the tested model.
            results: its test results.
            baselines: those of the baselines, by name.
        """
        return {}

    def prepare(self) -> None:
        """Read what only training needs. Raises InputError when it is not there."""
        try:
            _ = self.data.steps_per_epoch
        except ValueError as error:
            raise InputError(str(error)) from error

    @cached_property
    def file_records(self) -> FileRecords:
        """Size and SHA-256 of the files that training reads beside those of the data, taken once."""
        return {}

    def names(self) -> Mapping[str, str]:
        """Names of data or model for tables, where they come from the data and not from the configuration."""
        return {}

    def files(self) -> Mapping[str, str]:
        """Text files that a run directory and an export need beside the weights: name -> content."""
        return {}

    @abstractmethod
    def parse_prompt(self, text: str) -> Any:
        """The model's input from what a user typed. Raises InputError that names what is wrong."""

    @abstractmethod
    def describe(self, model: M, prompt: Any) -> str:
        """What the model predicts for a parsed prompt, for people to read."""

    def batches(self, model: nn.Module, split: Split) -> Iterator[Any]:
        """The batches of a split on the model's device."""
        device = device_of(model)
        for batch in self.data.batches(split):
            yield batch.to(device) if isinstance(batch, Tensor) else type(batch)(*(part.to(device) for part in batch))
