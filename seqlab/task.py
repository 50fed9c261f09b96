"""The interface of a task: loss, evaluation, baselines and prompts. A task is independent of the trainer."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from seqlab.answers import GREEDY, Answer, Sampling, Steps
from seqlab.attempts import reason
from seqlab.errors import InputError
from seqlab.kept import FileRecords
from seqlab.model import device_of
from seqlab.proportion import Proportion
from seqlab.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = Mapping[str, Proportion | float]
Split = Literal["val", "test"]
PREDICTIONS_SHOWN = 3  # at a validation
LONGEST_SHOWN = 28  # characters of a prompt, a prediction and what is said of it there
Checks = Mapping[str, Sequence[tuple[int, float]]]  # metric -> (step, value) of each validation, in order


@runtime_checkable
class Data(Protocol):
    """What a task needs from its data. Every `seqlab.lit.datamodule.DataModule` implements it."""

    @property
    def spec(self) -> Spec:
        """Input and output format."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the data, also used by baselines and sampling."""
        ...

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps per pass over the training samples; None for an endless stream."""
        ...

    def batches(self, split: Split) -> Iterator[Any]:
        """The validation or test set, batch by batch."""
        ...


D = TypeVar("D", bound=Data)
M = TypeVar("M", bound=nn.Module)


class Watched(NamedTuple):
    """What to log at a validation.

    results: metrics.
    texts: in Markdown, by name.
    predictions: a few of them, in one line (`predictions_line`).
    """

    results: Results
    texts: Mapping[str, str] = MappingProxyType({})
    predictions: str = ""


def predictions_line(rows: Iterable[tuple[str, str, str]]) -> str:
    """A few predictions in one line, for the screen.

    Args:
        rows: prompt, prediction, and what to say of it, such as the right answer.

    >>> predictions_line([("( [", "] )", "in the language"), ("1 2", "4", "right: 3")])
    '( [ -> ] ) (in the language)   1 2 -> 4 (right: 3)'
    """
    found = []
    for prompt, prediction, verdict in islice(rows, PREDICTIONS_SHOWN):
        short, answer, said = (_one_line(text) for text in (prompt, prediction, verdict))
        short = short if len(short) <= LONGEST_SHOWN else f"...{short[-LONGEST_SHOWN:]}"
        answer, said = (text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..." for text in (answer, said))
        found.append(f"{short} -> {answer}" + (f" ({said})" if said else ""))
    return "   ".join(found)


def _one_line(text: str) -> str:
    """A text for a terminal, without what would move its cursor."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def _quoted(text: str) -> str:
    """A prompt in a message, without the middle of a long one."""
    return repr(text if len(text) <= 2 * LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...{text[-LONGEST_SHOWN:]}")


class Task(ABC, Generic[D, M]):
    """The training objective of a model on some data, and its evaluation.

    `task.loss(model, batch)` and `task.evaluate(model, "test")` work in a notebook and under any trainer.

    Args:
        datamodule: the data.

    columns: heading -> metric, for tables over many runs. better: metric -> low or high, if one direction is better.
    optimal: baselines that know the answers or their distribution: no model is better, but for chance. solvers: those
        that solve the task without learning it. Each other baseline is a shortcut: what a model has to be better than.
    """

    columns: ClassVar[Mapping[str, str]]
    better: ClassVar[Mapping[str, str]] = MappingProxyType({})
    optimal: ClassVar[Sequence[str]] = ("oracle", "optimal")
    solvers: ClassVar[Sequence[str]] = ()

    def __init__(self, datamodule: D):
        self.data = datamodule

    def check_model(self, model: M) -> None:
        """Raise ValueError if a model does not fit this task."""

    @abstractmethod
    def loss(self, model: M, batch: Any) -> Tensor:
        """The mean training loss of a batch, a scalar."""

    def num_targets(self, batch: Any) -> int:
        """The number of targets over which `loss` averages.

        Here as the Spec says: `max_length` in each row, or one where the readout is the last step. Override it if rows
        differ in length, or if the loss counts only some of their steps.
        """
        rows = len(batch) if isinstance(batch, Tensor) else len(batch[0])
        return rows * (1 if self.data.spec.readout == "last" else self.data.spec.max_length)

    @abstractmethod
    def evaluate(self, model: M, split: Split) -> Results:
        """Compute every metric of a model on a split, named `split/metric`. The model's mode does not change."""

    def watch(self, model: M) -> Watched:
        """Compute what to log at a validation."""
        return Watched(self.evaluate(model, "val"))

    def rates(self, batch: Any) -> Mapping[str, int]:
        """Count things in a batch, by metric name; the log shows them per second. Here: the targets of the loss."""
        return {"train/targets_per_second": self.num_targets(batch)}

    @abstractmethod
    def title(self) -> str:
        """One line that names the task and says how its splits are kept disjoint."""

    @abstractmethod
    def baselines(self) -> Mapping[str, Results]:
        """Test results of chance and of every baseline, with the metric names of `evaluate`.

        If the result is a seqlab.attempts.Attempts, it also holds which baselines failed, and why.
        """

    def examples(self, model: M) -> list[dict[str, Any]]:
        """The model's outputs on evaluation inputs, one plain record each (for predictions.jsonl).

        The first field beside `set` is what went in, or the truth: the report finds the records of two runs by it.
        `broken`, a list of {"rule": words, "at": place}, marks a place in the text of `prompt` and `completion`.
        """
        return []

    def figures(self, model: M, results: Results, baselines: Mapping[str, Results]) -> Mapping[str, "Figure"]:
        """Task-specific figures after the test, by name. May return a seqlab.attempts.Attempts.

        They get the house style of figures, in which C0 is the colour of the model.

        Args:
            model: the tested model.
            results: its test results.
            baselines: the test results of the baselines, by name.
        """
        return {}

    def concluded(self, results: Results, checks: Checks) -> Results:
        """Further results of a finished run, from those of its test and from what was logged at its validations."""
        return {}

    def curves(self, checks: Checks) -> Mapping[str, "Figure"]:
        """Task-specific figures of what was logged at validations, by name. May return a seqlab.attempts.Attempts."""
        return {}

    def prepare(self) -> None:
        """Load what only training needs. Raises InputError if it is missing."""
        try:
            _ = self.data.steps_per_epoch
        except ValueError as error:
            raise InputError(str(error)) from error

    @cached_property
    def file_records(self) -> FileRecords:
        """Size and SHA-256 of files that training reads in addition to the data's, computed once."""
        return {}

    def names(self) -> Mapping[str, str]:
        """Names of data or model for tables, if they come from the data instead of the configuration."""
        return {}

    def notes(self) -> Sequence[str]:
        """Sentences on the test data, below the table of a run.

        What differs between seeds belongs here and not in the title, because runs of one title share a table.
        """
        return []

    def meanings(self) -> Mapping[str, str]:
        """A part of a metric's name, the group or the last, -> what it means in a few words, where it does not say."""
        return {}

    def files(self) -> Mapping[str, str]:
        """Text files that a run directory and an export need in addition to the weights: name -> content."""
        return {}

    @abstractmethod
    def parse_prompt(self, text: str) -> Any:
        """Parse a prompt that a user typed into a model input. Raises InputError with the reason."""

    def read_prompt(self, text: str) -> Any:
        """Parse a prompt, and hold what the model is to read of it against the Spec. Commands ask this.

        Raises:
            InputError: the text is no prompt of this task, or gives inputs that no model of this Spec can read.
        """
        spec = self.data.spec
        try:
            prompt = self.parse_prompt(text)
        except InputError:
            raise
        except (ValueError, LookupError) as error:  # int("x") in a task from outside, a vocabulary without "x"
            raise InputError(f"{_quoted(text)}: {reason(error)}; the model reads {spec.inputs_in_words}") from error
        try:
            inputs = self.inputs(prompt)
        except InputError:  # the task does not say
            return prompt
        try:
            spec.check_inputs(inputs)
        except InputError as error:
            raise InputError(f"{_quoted(text)}: {error}") from error
        return prompt

    def sample_prompt(self) -> str | None:
        """A prompt to try, as one types it. Empty: the task answers for data of its own. None: there is no example."""
        return None

    @abstractmethod
    def describe(self, model: M, prompt: Any) -> str:
        """Describe in words what the model predicts for a parsed prompt."""

    def inputs(self, prompt: Any) -> Tensor:
        """What the model reads of a parsed prompt, with a batch of one. Override it if a prompt is no tensor."""
        if not isinstance(prompt, Tensor):
            raise InputError(f"{type(self).__name__} does not say what a model reads of a prompt")
        return prompt

    def steps(self, model: M, prompt: Any) -> Steps:
        """The model's distribution at each step of a parsed prompt.

        Raises:
            InputError: it has none, because it predicts values, or the task does not say.
        """
        raise self._without_distribution()

    def answers(self, model: M, prompt: Any, sampling: Sampling = GREEDY) -> list[Answer]:
        """Completions of a parsed prompt: the greedy one, or sampled ones.

        Raises:
            InputError: there is nothing to sample from, as for `steps`.
        """
        raise self._without_distribution()

    def _without_distribution(self) -> InputError:
        name = type(self).__name__
        return InputError(f"{name} has no distribution over what comes next: there is nothing to list or to sample")

    def best(self, prompt: Any) -> str:
        """The best possible completion of a parsed prompt, where it is known; else nothing."""
        return ""

    def rules_left(self, prompt: Any) -> Mapping[str, Sequence[bool]]:
        """Which rules some completion can still keep at each of the places of `steps`, by the rule in words."""
        return {}

    def sample_prompts(self) -> list[str]:
        """Prompts to click on, as one types them."""
        example = self.sample_prompt()
        return [] if example is None else [example]

    def batches(self, model: nn.Module, split: Split) -> Iterator[Any]:
        """The batches of a split, moved to the model's device."""
        device = device_of(model)
        for batch in self.data.batches(split):
            yield batch.to(device) if isinstance(batch, Tensor) else type(batch)(*(part.to(device) for part in batch))
