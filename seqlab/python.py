"""SeqLab from Python: train a run, look at it, resume it, and evaluate a model of your own. See docs/api.md.

Every error is an InputError with the line that the command would print.
"""

import contextlib
import csv
import io
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from seqlab import plugins
from seqlab.activations import activations
from seqlab.attempts import reason
from seqlab.check import check
from seqlab.cli import ending
from seqlab.errors import InputError, nearest
from seqlab.files import at_home
from seqlab.foreign import tested
from seqlab.model import num_parameters
from seqlab.places import CONF
from seqlab.proportion import value_of
from seqlab.run import build
from seqlab.run.config import RunConfig, composed
from seqlab.run.directory import RunDirectory
from seqlab.run.evaluate import plain_rows, tell_missing
from seqlab.run.keys import groups
from seqlab.run.launch import leave_cluster
from seqlab.run.overrides import prepared
from seqlab.run.summary import read_summary
from seqlab.run.train import train as train_in
from seqlab.run.typed import with_typed
from seqlab.show.curves import read_metrics

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class TrainedRun(build.Run):
    """A run with its directory.

    directory: where its files are; None for a checkpoint that lies in no run directory.
    """

    directory: Path | None

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says: test metrics, intervals, baselines, steps, seconds (docs/runs.md).

        Raises:
            InputError: there is no such file, or it is damaged.
        """
        return read_summary(self._file("summary").parent)

    def _path(self) -> Path:
        if self.directory is None:
            raise InputError("this run was loaded from a checkpoint alone, which has no run directory")
        return self.directory

    def _file(self, name: Literal["summary", "metrics"]) -> Path:
        file: Path = getattr(RunDirectory(self._path()), name)
        if not file.is_file():
            raise InputError(f"{file}: no such file")
        return file

    @property
    def metrics(self) -> "DataFrame":
        """Every logged metric, a column each, by step; NaN at steps at which it was not logged.

        Raises:
            InputError: there is no metrics.csv, or it is damaged.
        """
        from pandas import DataFrame, Series  # here, because it takes half a second

        file = self._file("metrics")
        try:
            found = read_metrics(file)
        except (ValueError, csv.Error) as error:
            raise InputError(f"{file} is damaged: {error}") from error
        frame = DataFrame({name: Series(dict(points), dtype=float) for name, points in found.items()})
        return frame.sort_index().rename_axis("step")

    def __repr__(self) -> str:
        name, parameters = self.config["name"] | self.task.names(), num_parameters(self.model)
        try:
            end = f"{self.summary['steps']} steps, {self.directory}"
        except (InputError, OSError):
            end = f"no results, {self.directory or 'a checkpoint alone'}"
        about = f"{name['model']} on {name['data']}, seed {self.config['seed']}, {parameters:,} parameters"
        return f"TrainedRun({about}, {end})"

    def predict(self, prompt: str) -> str:
        """Say in words what the model predicts for a prompt, like `seqlab predict`.

        Raises:
            InputError: the prompt is not one of this task.
        """
        return self.task.describe(self.model, self.task.read_prompt(prompt))

    def complete(self, prompt: str) -> str:
        """The greedy completion of a prompt alone: symbols, next terms, text, answers, a factor or a forecast.

        Raises:
            InputError: the prompt is not one of this task.
        """
        (answer,) = self.task.answers(self.model, self.task.read_prompt(prompt))
        return answer.text

    def next_probabilities(self, prompt: str) -> "DataFrame":
        """The model's distribution at each step of a prompt: a row for each step, a column for each outcome.

        A row is named by what the model has read last. Rows sum to 1, except where an answer is a set: then each column
        has the probability of being in it.

        Raises:
            InputError: the prompt is not one of this task, or the model predicts values and has no distribution.
        """
        from pandas import DataFrame

        steps = self.task.steps(self.model, self.task.read_prompt(prompt))
        return DataFrame(steps.probabilities.numpy(), index=list(steps.places), columns=list(steps.outcomes))

    def activations(self, prompt: str, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """The outputs of the model's modules while it reads a prompt, with a batch of one. See seqlab.activations.

        Args:
            prompt: as for `predict`.
            names: of modules, as `run.model.named_modules()` has them, or attention weights, (1, heads, steps, steps):
                layers.0.attention.weights, of model=hf attentions.0.weights. None: all modules, without weights.

        Raises:
            InputError: the prompt is not one of this task, or the model has or calls no such module.
        """
        return activations(self.model, self.task.inputs(self.task.read_prompt(prompt)), names)

    def resume(self, *, max_steps: int | None = None, quiet: bool | None = None) -> "TrainedRun":
        """Resume the run, bit for bit where it stopped, and return it as it is then.

        Args:
            max_steps: train up to this step; None: up to that of the run.
            quiet: as for `train`.

        Raises:
            InputError: it was loaded from a checkpoint alone.
        """
        words = [f"resume={shlex.quote(str(self._path()))}"]
        return train(words + ([] if max_steps is None else [f"trainer.max_steps={max_steps}"]), quiet=quiet)


def load_run(path: str | Path, checkpoint: str = "best.ckpt", *, trust: Iterable[str] = ()) -> TrainedRun:
    """Load a run from its directory, with the weights of one of its checkpoints. Nothing in it can run code.

    Args:
        path: a run directory, or a checkpoint file.
        checkpoint: the name of the file in the run directory's checkpoints.
        trust: packages that take part here as plug-ins do. Their code runs.

    Raises:
        InputError: the path is not a run directory, or the checkpoint is missing or damaged.
    """
    run, path = build.load_run(path, checkpoint, trust=trust), at_home(path)
    return TrainedRun(**vars(run), directory=path if path.is_dir() else _around(path.absolute()))


def _around(checkpoint: Path) -> Path | None:
    """The run directory whose checkpoint a file is, if it is one."""
    directory = RunDirectory(checkpoint.parent.parent)
    return directory.path if checkpoint.parent == directory.checkpoints else None


def train(words: str | Sequence[str] = (), dir: str | Path | None = None, *, quiet: bool | None = None) -> TrainedRun:
    """Train one run in this process, evaluate it and its baselines, and load it.

    Args:
        words: the words of the command line, in one text or apart: "model=lstm data=L3 trainer=fast".
        dir: the run directory; None: outputs/DATA/MODEL/..., as the command chooses it.
        quiet: print nothing but warnings. None: in a notebook.

    Returns:
        the run, with the weights of best.ckpt.

    Raises:
        InputError: the words are invalid, or the directory holds another run; nothing has run.
        Interrupted, NonFiniteError: training ended that way; checkpoints and summary are written.
    """
    quiet = "ipykernel" in sys.modules if quiet is None else quiet
    with _composed(words, *([] if dir is None else [f"hydra.run.dir={at_home(dir).absolute()}"])) as config:
        devices = config.plain["trainer"].get("devices")
        if devices != 1:
            raise InputError(f"trainer.devices={devices} starts processes by the command line: python run.py ...")
        directory = RunDirectory(Path(str(config.hydra.run.dir)))
        directory.path.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
            train_in(config, directory, quiet=quiet)
    return load_run(directory.path)


def evaluate(model: nn.Module, words: str | Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Test a model on a data set of the project, beside chance and the baselines. Nothing is trained or written.

    A baseline that fails has None alone, and a warning on stderr says why.

    Args:
        model: a SequenceModel, or any module that maps ids (batch, time) to logits (batch, time, classes) and reads
            each row from left to right.
        words: which data, as on the command line: "data=L5 data.max_length=16".

    Returns:
        "model", then "chance" and every baseline: metric -> value on the test set; None where there is none.

    Raises:
        InputError: the words are invalid, or the model does not fit the data.
    """
    with _composed(words) as config:
        if any(word.startswith("model") for word in config.words):
            raise InputError("evaluate takes a model itself: leave model=... out of the words")
        check(config.plain, build.configuration)
        task = build.construct(config.plain["task"], datamodule=(data := build.construct(config.plain["data"])))
        _ = data.fitted
    results = {metric: value_of(one) for metric, one in tested(task, model).items()}
    beside, errors = plain_rows(task.baselines(), results)
    tell_missing({f"baseline {name}": reason(error) for name, error in errors.items()})
    return {
        name: {metric.removeprefix("test/"): value for metric, value in row.items()}
        for name, row in {"model": results, **beside}.items()
    }


def choices(group: str | None = None) -> list[str]:
    """The choices of a group of the configuration, such as data or model; without a group, the groups.

    Raises:
        InputError: there is no such group.
    """
    found = groups([CONF, *plugins.folders()])
    if group is None:
        return sorted(found)
    if group not in found:
        raise InputError(f"{group}: no such group; {nearest(group, found)}")
    return found[group]


@contextlib.contextmanager
def _composed(words: str | Sequence[str], *more: str) -> Iterator[RunConfig]:
    """The configuration for some words, as run.py composes it. Inside the block, Hydra's interpolations refer to it."""
    before = HydraConfig.instance().cfg
    try:
        leave_cluster()
        arguments = prepared([*_apart(words), *more], CONF)
        if options := [word for word in arguments if word.startswith("-")]:
            raise InputError(f"{options[0]} is for the command line; from Python, only KEY=VALUE")
        config = RunConfig.of(composed(arguments, CONF))
        yield with_typed(config, build.configuration, config.words)
    except (HydraException, OmegaConfBaseException) as error:
        told = ending(error, CONF)
        raise InputError(told.message.removeprefix("error: ") if told else str(error)) from error
    finally:
        HydraConfig.instance().cfg = before


def _apart(words: str | Sequence[str]) -> list[str]:
    """The words of one text, as a shell takes it apart."""
    if not isinstance(words, str | Sequence) or not all(isinstance(word, str) for word in words):
        kind, wanted = type(words).__name__, "words such as 'model=lstm data=L5' are needed"
        raise InputError(f"{wanted}, not {kind}: a model to train has a YAML; seqlab.evaluate tests any module")
    try:
        return shlex.split(words) if isinstance(words, str) else list(words)
    except ValueError as error:
        raise InputError(f"{words}: {error}") from error
