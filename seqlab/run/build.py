"""Builds the objects that a configuration describes, and loads a run from its directory."""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import torch
from annotated_types import Ge, Interval, MinLen
from lightning import Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.optim import Optimizer

from seqlab.check import check, hints_of, located
from seqlab.errors import InputError
from seqlab.files import at_home
from seqlab.kept import Kept
from seqlab.lit.checkpoints import kept_in, load_checkpoint, origin, refuse_old
from seqlab.lit.datamodule import DataModule
from seqlab.lit.module import Module
from seqlab.lit.precision import cast_weights
from seqlab.plugins import trusting
from seqlab.randomness import derived_seed
from seqlab.run.directory import RunDirectory
from seqlab.schedule import Schedule
from seqlab.spec import Spec
from seqlab.task import Task

KERNELS_ON = {"native": "cpu", "cuda": "cuda"}  # a model's backend: the type of device that it needs
TAKES_SPEC = (
    "a model is a class of seqlab.model.SequenceModel, or of Rereading if it has forward alone, "
    "whose __init__ takes spec (docs/extending.md)"
)
Seed = Annotated[int, Interval(ge=0, lt=2**32)]


@dataclass(frozen=True)
class Run:
    """The objects of a run.

    model: the network; from `load_run` with the weights of the checkpoint and in evaluation mode.
    datamodule: its data.
    config: the resolved configuration, plain dicts, lists and scalars.
    task: loss, evaluation and prompts: `run.task.evaluate(run.model, "test")`, `run.task.describe(run.model, prompt)`.
    module: the LightningModule around model and task, which a Trainer fits.
    """

    model: nn.Module
    datamodule: DataModule
    config: dict[str, Any]
    task: Task
    module: Module


Length = Annotated[int, Ge(1)]
PromptLength = Annotated[int, Interval(ge=1, le=1000)]


def configuration(
    *,
    seed: Seed,
    compile: bool,
    debug: bool,
    name: Mapping[Literal["model", "data"], str],
    model: Callable[..., nn.Module],
    data: DataModule,
    task: Callable[..., Task],
    eval: Mapping[Literal["max_length", "prompt_lengths"], Length | Annotated[list[PromptLength], MinLen(1)] | None],
    optimizer: Callable[[nn.Module], Optimizer],
    schedule: Schedule,
    trainer: Trainer,
    logger: Mapping[str, Logger],
    init_from: str | None = None,
    resume: Literal["auto"] | None = None,
) -> None:
    """The top-level keys of a configuration. `check` compares the user's values with these annotations."""


def build(config: dict[str, Any], weights: Iterable[Tensor] | None = None, *, kept: Kept | None = None) -> Run:
    """Check a resolved configuration and construct its data, its untrained model, its task and the LightningModule.

    Args:
        config: plain dicts, lists and scalars.
        weights: the tensors in a file for this model, if any. A model that is far too large for them is refused before
            memory is allocated. Without a GPU, `auto` computes what a GPU's kernels have trained.
        kept: what a checkpoint stores about the data, in place of reading it; None: the data are read and fitted.

    Raises:
        InputError: the configuration is invalid, data are missing, model and data do not fit each other, or `kept` does
            not fit the data module.
    """
    check(config, configuration)
    datamodule: DataModule = construct(config["data"])
    try:
        if kept is None:
            _ = datamodule.file_records, datamodule.fitted  # in this order: a change in between is detected later
        else:
            datamodule.restore(kept)
        spec = datamodule.spec
    except ValueError as error:
        raise InputError(str(error)) from error
    node = config["model"]
    if weights is not None:
        node = node if torch.cuda.is_available() else for_a_cpu(node)
        refuse_larger(node, spec, weights)
    torch.manual_seed(derived_seed(config["seed"], "initial weights"))
    model = construct(node, spec=spec)
    task = construct(config["task"], datamodule=datamodule)
    optimizer, schedule = prepare(config["optimizer"], ["model"]), construct(config["schedule"])
    with refusals(config["task"]["_target_"]):
        module = Module(
            model=model, task=task, optimizer=optimizer, schedule=schedule, seed=config["seed"], config=config
        )
    return Run(model, datamodule, config, task, module)


def refuse_larger(model: dict[str, Any], spec: Spec, weights: Iterable[Tensor]) -> None:
    """Raise InputError if a model has more than 2 parameters per byte of weights in the file.

    Weights take at least 8 bits each. The factor of 2 allows for tied weights, which a file holds once.
    """
    with torch.device("meta"):  # shapes without memory
        state = construct(model, spec=spec).state_dict()
    declared = sum(tensor.numel() for tensor in state.values())
    storages = {storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in weights)}
    if declared > 2 * sum(storages.values()):
        raise InputError(
            f"the configuration declares a model of {declared:,} numbers, and the file holds "
            f"{sum(storages.values()):,} bytes of weights"
        )


def for_a_cpu(node: Any) -> Any:
    """A model's configuration with `auto` in place of each backend that computes on another type of device.

    >>> for_a_cpu({"_target_": "M", "backend": "cuda", "inside": [{"_target_": "M", "backend": "native"}]})
    {'_target_': 'M', 'backend': 'auto', 'inside': [{'_target_': 'M', 'backend': 'native'}]}
    """
    if isinstance(node, list):
        return [for_a_cpu(part) for part in node]
    if not isinstance(node, dict):
        return node
    elsewhere = "_target_" in node and KERNELS_ON.get(str(node.get("backend")), "cpu") != "cpu"
    return {key: "auto" if elsewhere and key == "backend" else for_a_cpu(part) for key, part in node.items()}


def construct(node: dict[str, Any], **arguments: Any) -> Any:
    """Call the target of a checked node with the node's keys and further arguments.

    Raises:
        InputError: the target refuses its values, or they need too much memory.
    """
    with refusals(node["_target_"]):
        return prepare(node, arguments)(**arguments)


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn what a constructor raises for values that it refuses, or that need too much memory, into InputError."""
    try:
        yield
    except (ValueError, OverflowError, MemoryError) as error:
        raise InputError(str(error) or type(error).__name__) from error
    except RuntimeError as error:
        if "memory" not in str(error) and "overflow" not in str(error):
            raise
        raise InputError(f"{name}: {str(error).splitlines()[0]}") from error


def prepare(node: dict[str, Any], later: Collection[str] = ()) -> Callable[..., Any]:
    """Bind the keys of a checked node to its target. The result is called with the remaining arguments, `later`.

    Raises:
        InputError: the target does not take an argument in `later`, a required key is absent (`~optimizer.lr` removes
            one), or a node inside refuses its values.
    """
    target = located(node["_target_"])
    parameters = inspect.signature(target).parameters
    foreign = [name for name in later if name not in parameters]
    if foreign:
        advice = f"; {TAKES_SPEC}" if "spec" in foreign else ""
        raise InputError(f"{node['_target_']} does not fit here: it takes no {', '.join(foreign)}{advice}")
    absent = [p.name for p in parameters.values() if p.default is p.empty and p.name not in {*node, *later}]
    if absent:
        raise InputError(f"{node['_target_']} needs {', '.join(absent)}")
    hints = hints_of(target)
    return partial(target, **{key: _made(value, hints.get(key)) for key, value in node.items() if key != "_target_"})


def _made(value: Any, annotation: Any = None) -> Any:
    """Construct the nodes inside a value. Where a Callable is wanted, the target calls it later, with a Spec."""
    if isinstance(value, dict):
        if "_target_" not in value:
            return {key: _made(item) for key, item in value.items()}
        return prepare(value, ["spec"]) if get_origin(annotation) is Callable else construct(value)
    return [_made(item) for item in value] if isinstance(value, list) else value


def load_run(path: str | Path, checkpoint: str = "best.ckpt", *, trust: Iterable[str] = ()) -> Run:
    """Load a run from its directory with the weights of a checkpoint, or from the path of a checkpoint file.

    An untrusted file cannot run code (docs/security.md): it holds tensors and plain types, and its configuration can
    construct only objects of the expected base class from this project and the plug-ins (seqlab/plugins.py). No data
    are read, because the checkpoint stores what was fitted to them.

    Args:
        path: a run directory, or a checkpoint file.
        checkpoint: the name of the file in the run directory's checkpoints.
        trust: packages that take part here as plug-ins do. Their code runs.

    Raises:
        InputError: the path is not a run directory, or the checkpoint is missing or damaged.
    """
    path = at_home(path)
    if not path.exists():
        raise InputError(f"{path}: no such run directory")
    file = RunDirectory(path).checkpoints / checkpoint if path.is_dir() else path
    content = load_checkpoint(file)
    config, state = (
        (content.get(key) for key in ("config", "state_dict")) if isinstance(content, dict) else (None, None)
    )
    if not (isinstance(config, dict) and isinstance(state, dict)):
        raise InputError(f"{file} is not a checkpoint of SeqLab: it holds no configuration")
    refuse_old(content.get("version"), file)
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{file} is not a checkpoint of SeqLab: its state_dict holds more than tensors")
    try:
        with trusting(trust):
            run = build(config, state.values(), kept=kept_in(content, file))
    except InputError as error:
        raise InputError(f"{file}{origin(content)}: {error}") from error
    cast_weights(run.model, config["trainer"].get("precision", "32-true"))
    try:
        run.module.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{file}{origin(content)} does not fit its configuration: {error}") from error
    run.module.eval()
    return run
