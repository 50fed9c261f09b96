"""Resumes an interrupted run exactly: chooses the checkpoint, and checks that configuration and data are the same."""

import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field

from seqlab.errors import InputError
from seqlab.files import remove_temporaries
from seqlab.kept import Kept, file_records, refuse_changes, validated
from seqlab.lit.checkpoints import environment, kept_in, load_checkpoint, origin, refuse_old, refuse_resuming, version
from seqlab.lit.datamodule import DataModule
from seqlab.nn.native.choice import available
from seqlab.run.config import RunConfig, differences
from seqlab.run.directory import RunDirectory
from seqlab.run.initial import Initial
from seqlab.run.overrides import overrides_of, refuse_links_out
from seqlab.run.values import key_of
from seqlab.task import Task

MAX_KEYS_NAMED = 6


class Start(NamedTuple):
    """The starting point of training.

    config: the resolved configuration to train with.
    checkpoint: the checkpoint to restore; None for a start at step 0.
    step: number of optimizer steps already taken.
    kept: what the checkpoint stores about the data; None for a start at step 0.
    initial: where the run's first weights came from, as its checkpoint says; None without init_from or at step 0.
    """

    config: dict[str, Any]
    checkpoint: Path | None
    step: int
    kept: Kept | None
    initial: dict[str, Any] | None = None


def start_of(config: RunConfig, directory: RunDirectory) -> Start | None:
    """Find where the run in a directory resumes under `config`; None if it is finished.

    trainer.max_steps may have grown. Values that depended on it when the run started (the end of a cosine, the length
    of a curriculum) do not change, because the steps so far used them.

    Raises:
        InputError: the configuration describes a different run, or no checkpoint can be read.
    """
    refuse_links_out(directory)
    newest = newest_checkpoint(directory)
    followed, first, changed = config.continuing(directory)
    now = followed["trainer"]["max_steps"]
    if changed:
        more = f" and {len(changed) - MAX_KEYS_NAMED} more" if len(changed) > MAX_KEYS_NAMED else ""
        raise InputError(
            f"{directory.path} is another run and cannot be resumed as this one: "
            f"{'; '.join(changed[:MAX_KEYS_NAMED])}{more} (trainer.max_steps may grow; logger and debug may change)"
        )
    status = directory.read_status()
    reached = newest[1]["config"]["trainer"]["max_steps"] if newest else first
    if now < reached:
        raise InputError(f"trainer.max_steps={now}: {directory.path} has {reached}, which may grow and not shrink")
    if status.state == "done" and (status.reason != "max_steps" or now == reached):
        return None
    remove_temporaries(directory.path)
    if newest is None:
        return Start(followed, None, 0, None)
    file, content = newest
    remove_temporaries(directory.checkpoints)
    _refuse_foreign(file, content, followed)
    _refuse_lost_best(directory, content)
    _warn_of_another_environment(content)
    return Start(followed, file, content["global_step"], kept_in(content, file), content.get("initial"))


def note_growth(directory: RunDirectory, max_steps: int) -> None:
    """Store a grown trainer.max_steps in the overrides that resume=RUN repeats. config.yaml is not changed."""
    kept = [text for text in overrides_of(directory) if key_of(text) != "trainer.max_steps"]
    OmegaConf.save(OmegaConf.create([*kept, f"trainer.max_steps={max_steps}"]), directory.overrides)


def refuse_other_data(directory: RunDirectory, start: Start, datamodule: DataModule, task: Task) -> None:
    """Raise InputError if a file that the run was trained on is missing or has changed."""
    if start.kept is None:
        return
    try:
        datamodule.refuse_changed_files()
        refuse_changes(file_records(start.kept.task_files, "task_files"), task.file_records)
    except ValueError as error:
        raise InputError(f"{directory.path} cannot be resumed: {error}") from error


class _Names(BaseModel):
    model: str
    data: str


class _Steps(BaseModel):
    max_steps: int


class _Config(BaseModel):
    name: _Names
    trainer: _Steps
    model: dict[str, Any]


class _Environment(BaseModel):
    seconds: float


class _Best(BaseModel):
    best: float | None


class _Callbacks(BaseModel):
    checkpoints: Annotated[_Best, Field(alias="Checkpoints")]


class Resumable(BaseModel):
    """The content of a checkpoint that resuming reads, in addition to what Lightning restores."""

    model_config = ConfigDict(strict=True)

    state_dict: dict[str, Any]
    config: _Config
    environment: _Environment
    loops: dict[str, dict[str, Any]]  # the position in the data
    global_step: Annotated[int, Ge(0)]
    callbacks: _Callbacks
    initial: Initial | None = None


def newest_checkpoint(directory: RunDirectory) -> tuple[Path, dict[str, Any]] | None:
    """The newest readable checkpoint with its content, or None without checkpoints. Warns on stderr of unreadable ones.

    A process killed between two renames leaves last-1.ckpt without last.ckpt.

    Raises:
        InputError: there are checkpoints, but none can be read.
    """
    faults = []
    for file in (directory.last, directory.before_last, directory.best):
        if not file.exists():
            continue
        try:
            content = load_checkpoint(file)
        except InputError as error:
            faults.append(str(error))
            continue
        refuse_old(content.get("version"), file)
        refuse_resuming(content.get("version"), file)
        try:
            validated(Resumable, content, file.name)
        except ValueError as error:
            faults.append(f"{file} is not a checkpoint from which training can resume{origin(content)}: {error}")
            continue
        for fault in faults:
            print(f"warning: {fault}; resuming from {file.name}", file=sys.stderr)
        return file, content
    if faults:
        raise InputError(f"no checkpoint can be read: {'; '.join(faults)}")
    return None


def _refuse_lost_best(directory: RunDirectory, content: dict[str, Any]) -> None:
    """Raise InputError if best.ckpt cannot be read or is gone: it may still be the best checkpoint at the end."""
    if directory.best.exists():
        load_checkpoint(directory.best)
    elif content["callbacks"]["Checkpoints"]["best"] is not None:
        raise InputError(
            f"no checkpoint at {directory.best}, and no later one may be as good: bring it back, or train again"
        )


def _refuse_foreign(file: Path, content: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise InputError if a checkpoint belongs to another run."""
    changed = differences(content["config"]["model"], config["model"], "model")
    if content["config"]["name"] != config["name"] or changed:
        name = " on ".join(content["config"]["name"][key] for key in ("model", "data"))
        raise InputError(f"{file} belongs to another run, {name}: {'; '.join(changed[:MAX_KEYS_NAMED])}")


def _warn_of_another_environment(content: dict[str, Any]) -> None:
    """Warn of differences in the environment that prevent bit-for-bit reproduction."""
    now = environment() | {"SeqLab": version()}
    if "kernels" in content["environment"]:
        now["kernels"] = available()
    for key, before in [("SeqLab", content["version"]), *content["environment"].items()]:
        if key in now and before != now[key]:
            print(
                f"warning: {key} {before} before and {now[key]} now: the run resumes, but not bit for bit",
                file=sys.stderr,
            )
