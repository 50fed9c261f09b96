"""Going on with a run that was cut off, as if it had not been: which checkpoint, and whether this is the same run."""

import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict

from seqlab.errors import InputError
from seqlab.files import remove_temporaries
from seqlab.kept import Kept, file_records, refuse_changes, validated
from seqlab.lit.checkpoints import environment, kept_in, load_checkpoint, origin, refuse_old, version
from seqlab.lit.datamodule import DataModule
from seqlab.run.config import RunConfig, differences
from seqlab.run.directory import RunDirectory
from seqlab.run.overrides import refuse_links_out, words_of
from seqlab.run.values import key_of
from seqlab.task import Task

MAX_KEYS_NAMED = 6


class Start(NamedTuple):
    """Where training begins.

    config: the resolved configuration to train with.
    checkpoint: what to restore; None for a start at step 0.
    step: the optimizer steps that it has behind it.
    kept: what the checkpoint keeps of the data; None for a start at step 0.
    """

    config: dict[str, Any]
    checkpoint: Path | None
    step: int
    kept: Kept | None


def start_of(config: RunConfig, directory: RunDirectory) -> Start | None:
    """Where the run in a directory goes on under `config`; None when it is finished.

    trainer.max_steps may have grown. What followed it when the run began (the end of a cosine, the length of a
    curriculum) stays as it was: those steps are taken already.

    Raises:
        InputError: when the configuration differs in what decides a run, or no checkpoint can be read.
    """
    refuse_links_out(directory)
    newest = newest_checkpoint(directory)
    followed, first, changed = config.continuing(directory)
    now = followed["trainer"]["max_steps"]
    if changed:
        more = f" and {len(changed) - MAX_KEYS_NAMED} more" if len(changed) > MAX_KEYS_NAMED else ""
        raise InputError(
            f"{directory.path} is another run and cannot be resumed as this one: "
            f"{'; '.join(changed[:MAX_KEYS_NAMED])}{more}"
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
    if directory.best.exists():
        load_checkpoint(directory.best)  # without the best weights so far the result is not the uninterrupted run's
    _warn_of_another_environment(content)
    return Start(followed, file, content["global_step"], kept_in(content, file))


def note_growth(directory: RunDirectory, max_steps: int) -> None:
    """Add a grown trainer.max_steps to the words that resume=RUN repeats; the configuration stays as the run began."""
    kept = [word for word in words_of(directory) if key_of(word) != "trainer.max_steps"]
    OmegaConf.save(OmegaConf.create([*kept, f"trainer.max_steps={max_steps}"]), directory.overrides)


def refuse_other_data(directory: RunDirectory, start: Start, datamodule: DataModule, task: Task) -> None:
    """Raise InputError where a file that the run was trained on is missing, or is another one now."""
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


class Resumable(BaseModel):
    """What going on with a run reads of a checkpoint, beside what Lightning restores from it."""

    model_config = ConfigDict(strict=True)

    state_dict: dict[str, Any]
    config: _Config
    environment: _Environment
    loops: dict[str, dict[str, Any]]  # where in the data training stood
    global_step: Annotated[int, Ge(0)]


def newest_checkpoint(directory: RunDirectory) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, with its content; says on stderr which could not.

    A process killed between two renames leaves the one before the last without the last.

    Raises:
        InputError: when there are some, and none can be read.
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
        try:
            validated(Resumable, content, file.name)
        except ValueError as error:
            faults.append(f"{file} is no checkpoint that training can go on from{origin(content)}: {error}")
            continue
        for fault in faults:
            print(f"warning: {fault}; going on from {file.name}", file=sys.stderr)
        return file, content
    if faults:
        raise InputError(f"no checkpoint can be read: {'; '.join(faults)}")
    return None


def _refuse_foreign(file: Path, content: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise InputError where a file of another run has been put."""
    changed = differences(content["config"]["model"], config["model"], "model")
    if content["config"]["name"] != config["name"] or changed:
        name = " on ".join(content["config"]["name"][key] for key in ("model", "data"))
        raise InputError(f"{file} belongs to another run, {name}: {'; '.join(changed[:MAX_KEYS_NAMED])}")


def _warn_of_another_environment(content: dict[str, Any]) -> None:
    """Say what makes the bits differ from here on."""
    now = environment() | {"SeqLab": version()}
    for key, before in [("SeqLab", content["version"]), *content["environment"].items()]:
        if key in now and before != now[key]:
            print(
                f"warning: {key} {before} before and {now[key]} now: the run goes on, but not bit for bit",
                file=sys.stderr,
            )
