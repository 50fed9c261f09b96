"""A run directory: its files, building what a configuration describes, saving and loading."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Interval
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from lightning import Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from seqlab.check import as_typed, check
from seqlab.errors import InputError
from seqlab.job import resolved
from seqlab.lit.checkpoints import load_checkpoint, origin
from seqlab.lit.datamodule import DataModule
from seqlab.lit.module import Module
from seqlab.randomness import derived_seed
from seqlab.schedule import Schedule

Seed = Annotated[int, Interval(ge=0, lt=2**32)]


@dataclass(frozen=True)
class Run:
    """A finished run, ready to use.

    model: the network with the weights of the checkpoint, in evaluation mode.
    datamodule: the data that it was trained on.
    config: the resolved configuration, plain dicts, lists and scalars.
    task: the LightningModule around the model (loss, metrics, parse_prompt, describe).
    """

    model: nn.Module
    datamodule: DataModule
    config: dict[str, Any]
    task: Module


def configuration(
    *,
    seed: Seed,
    compile: bool,
    debug: bool,
    name: Mapping[Literal["model", "data"], str],
    model: Callable[..., nn.Module],
    data: DataModule,
    task: Callable[..., Module],
    eval: Mapping[Literal["max_length"], Annotated[int, Ge(1)] | None],
    optimizer: Callable[[nn.Module], Optimizer],
    schedule: Schedule,
    trainer: Trainer,
    logger: Mapping[str, Logger],
    resume: Literal["auto"] | None = None,
) -> None:
    """The top-level keys of a configuration, as `check` holds them against what a user set."""


def take_typed(config: DictConfig, words: Iterable[str]) -> None:
    """Put into a configuration the characters that were typed where a text is wanted and Hydra read a number."""
    for key, text in as_typed(resolved(config), configuration, words).items():
        OmegaConf.update(config, key, text)


def build(config: dict[str, Any]) -> Run:
    """Check a resolved configuration and construct its datamodule, its untrained model and its task.

    Raises:
        InputError: for every fault of the configuration, and for a pair that cannot work.
    """
    check(config, configuration)
    datamodule = construct(config["data"])
    torch.manual_seed(derived_seed(config["seed"], "initial weights"))
    model = construct(config["model"], spec=datamodule.spec)
    task = construct(
        config["task"],
        model=model,
        datamodule=datamodule,
        optimizer=prepare(config["optimizer"]),
        schedule=construct(config["schedule"]),
        seed=config["seed"],
    )
    task.config = config
    return Run(model, datamodule, config, task)


def construct(node: dict[str, Any], **arguments: Any) -> Any:
    """Call what a configuration node names, with its keys and further arguments; what it refuses is bad input."""
    try:
        return prepare(node, arguments)(**arguments)
    except ValueError as error:
        raise InputError(str(error)) from error


def prepare(node: dict[str, Any], later: Collection[str] = ()) -> Callable[..., Any]:
    """What a configuration node names, with its keys bound: to be called with the rest, of which `later` are keywords.

    Raises:
        InputError: when a required key is absent (`~optimizer.lr` takes one away), or a node inside refuses its values.
    """
    parameters = inspect.signature(get_object(node["_target_"])).parameters.values()
    required = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    absent = [name for name in required if name not in node and name not in later]
    if absent:
        raise InputError(f"{node['_target_']} needs {', '.join(absent)}")
    try:
        return instantiate({**node, "_partial_": True, "_convert_": "all"})
    except InstantiationException as error:  # from a node inside this one
        if isinstance(error.__cause__, ValueError):
            raise InputError(str(error.__cause__)) from error
        raise


def load_run(path: str | Path, checkpoint: str = "best.ckpt") -> Run:
    """Rebuild a run from its directory, with the weights of a checkpoint (or from the path of a checkpoint file).

    Nothing is unpickled: a checkpoint holds tensors and plain types, and its configuration constructs objects of
    this project only.

    Raises:
        InputError: when path is no run directory, or the checkpoint is missing or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such run directory")
    file = path / "checkpoints" / checkpoint if path.is_dir() else path
    content = load_checkpoint(file)
    if not (isinstance(content, dict) and isinstance(content.get("config"), dict) and "state_dict" in content):
        raise InputError(f"{file} is no checkpoint of this project: it holds no configuration")
    try:
        run = build(content["config"])
    except InputError as error:
        raise InputError(f"{file}{origin(content)}: {error}") from error
    try:
        run.task.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise InputError(f"{file}{origin(content)} does not fit its configuration: {error}") from error
    run.task.eval()
    return run
