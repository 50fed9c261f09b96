"""Checkpoints that are whole or absent: best.ckpt, last.ckpt and the one before, last-1.ckpt."""

import io
import math
import os
import pickle
import re
import time
import warnings
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from seqlab.errors import InputError, NonFiniteError
from seqlab.files import temporary_name, unwritable
from seqlab.kept import Kept

# As seqlab/run/directory.py has them, which nothing here may import.
BEST, LAST, BEFORE_LAST = "best.ckpt", "last.ckpt", "last-1.ckpt"
OLDEST = (0, 2)  # the first version whose checkpoints can be loaded


class AtomicCheckpointIO(CheckpointIO):
    """Writes to a temporary name in the same folder, fsyncs, renames; reads plain types only.

    A reader sees the old file or the new one, never half a file. Writing last.ckpt keeps its predecessor as
    last-1.ckpt.

    Raises:
        OSError: that names the file, where the disk is full or the folder read-only; what was there stays.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        content = io.BytesIO()  # torch tells a full disk from other troubles only in words
        torch.save(checkpoint, content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary_name(path), "wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if path.name == LAST and path.exists():
                os.replace(path, path.with_name(BEFORE_LAST))
            os.replace(temporary_name(path), path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise unwritable(path, error) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return load_checkpoint(path, map_location)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def load_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The content of a checkpoint file: tensors and plain types.

    Raises:
        InputError: when the file is missing, cut short, or holds anything that needs unpickling of objects.
    """
    if not Path(path).is_file():
        raise InputError(f"no checkpoint at {path}")
    try:
        if not zipfile.is_zipfile(path):  # torch.load would try older formats, which we never wrote
            raise InputError(f"cannot read the checkpoint {path}: it is cut short, or was never one")
        with warnings.catch_warnings(action="ignore"):  # of a file that is refused
            content = torch.load(path, map_location=map_location, weights_only=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error.strerror or 'it cannot be read'}") from error
    except pickle.UnpicklingError as error:  # torch's message says how to load it nevertheless, and run what it holds
        raise InputError(
            f"cannot read the checkpoint {path}: it holds more than tensors and plain values, which is not loaded"
        ) from error
    except Exception as error:  # torch raises many kinds for a damaged file; each means the same to a user
        raise InputError(f"cannot read the checkpoint {path}: it is damaged, or no checkpoint") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no checkpoint of this project: it holds a {type(content).__name__}")
    return content


def version() -> str:
    """The version of SeqLab that runs; `unknown` in a checkout that is not installed."""
    try:
        return metadata.version("seqlab")
    except metadata.PackageNotFoundError:
        return "unknown"


def origin(content: dict[str, Any]) -> str:
    """Words behind the name of a checkpoint that another version of SeqLab wrote; none where it is this version's."""
    wrote = str(content.get("version"))
    return "" if wrote == version() else f" (written by SeqLab {wrote}; this is {version()})"


def refuse_old(wrote: object, file: str | Path) -> None:
    """Raise InputError for a file from before SeqLab 0.2, whose configuration names classes that are gone.

    Args:
        wrote: the version that the file says; None where it says none.
        file: where it came from, for the message.
    """
    number = re.match(r"(\d+)\.(\d+)", str(wrote))
    if wrote is None or (number is not None and (int(number[1]), int(number[2])) < OLDEST):
        raise InputError(
            f"{file} was written by SeqLab {wrote or 'before 0.1.0'}, and this is {version()}: runs from before "
            f"{'.'.join(map(str, OLDEST))} cannot be loaded or resumed; use that version, or train again"
        )


def kept_in(content: Mapping[str, Any], file: str | Path) -> Kept:
    """What a checkpoint keeps of its run's data.

    Args:
        content: of the checkpoint.
        file: where it came from, for the message.

    Raises:
        InputError: some of it is not there.
    """
    if absent := [key for key in Kept._fields if key not in content]:
        raise InputError(
            f"{file} holds no {', '.join(absent)}: a version of SeqLab wrote it that did not keep what was fitted "
            "to the data; train the run anew"
        )
    return Kept(*(content[key] for key in Kept._fields))


def environment() -> dict[str, Any]:
    """What decides the last bits of a run beside its configuration: threads and kernels each order sums their way."""
    return {
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def validation_is_due(trainer: Trainer) -> bool:
    """Whether a validation follows the step that ends. A run resumed from a checkpoint made before it would skip it."""
    assert trainer.val_check_batch is not None  # it is None only where validation goes by time
    return trainer.global_step % trainer.val_check_batch == 0


def training_seconds(trainer: Trainer) -> float:
    """How long the run of a Trainer has trained, over all of its parts.

    At the step of the newest checkpoint it is the checkpoint's own number: a run that is resumed counts on from there,
    and none of its parts says less than the one before.
    """
    checkpoints = _checkpoints(trainer)
    return checkpoints.saved_seconds if checkpoints.saved_step == trainer.global_step else checkpoints.seconds_so_far()


def has_begun(trainer: Trainer) -> bool:
    """Whether a Trainer trains, or has: all that it had to restore is restored."""
    return _checkpoints(trainer).begun


def _checkpoints(trainer: Trainer) -> "Checkpoints":
    (checkpoints,) = (callback for callback in trainer.callbacks if isinstance(callback, Checkpoints))  # type: ignore[attr-defined]
    return checkpoints


def agreed(trainer: Trainer, wish: bool) -> bool:
    """Whether any process of the run wishes so: what all of them do together, none may decide alone."""
    return trainer.strategy.reduce_boolean_decision(wish, all=False)


class Checkpoints(Callback):
    """Saves last.ckpt at each validation and at least once a minute, and best.ckpt when the monitor improves.

    Args:
        folder: where the files go.
        monitor: the metric whose lowest value is best.
        seconds: the longest time between two saves.
    """

    def __init__(self, folder: Path, monitor: str = "val/loss", seconds: float = 60.0):
        self.begun = False
        self.seconds_before = 0.0
        self.started_at = time.monotonic()
        self.folder = folder
        self.monitor = monitor
        self.seconds = seconds
        self.best: float | None = None
        self.best_step = 0
        self.saved_step = -1
        self.saved_seconds = 0.0
        self.saved_at = time.monotonic()

    def save_last(self, trainer: Trainer) -> None:
        """Write last.ckpt as things stand."""
        self._save(trainer, LAST)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def _save(self, trainer: Trainer, name: str) -> None:
        for logger in trainer.loggers:  # their rows first: what a checkpoint has behind it, a kill does not take away
            logger.save()
        trainer.save_checkpoint(self.folder / name, weights_only=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begun = True
        self.saved_at = self.started_at = time.monotonic()

    def seconds_so_far(self) -> float:
        """How long the run has trained until now, over all of its parts."""
        return self.seconds_before + time.monotonic() - self.started_at

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.saved_seconds = self.seconds_so_far()
        checkpoint["version"] = version()
        checkpoint["environment"] = {**environment(), "seconds": self.saved_seconds}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.seconds_before = checkpoint["environment"]["seconds"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        late = time.monotonic() - self.saved_at > self.seconds
        if agreed(trainer, late) and not validation_is_due(trainer):
            self.save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        value = trainer.strategy.broadcast(float(trainer.callback_metrics[self.monitor]))
        if not math.isfinite(value):
            raise NonFiniteError(f"{self.monitor} is {value} at step {trainer.global_step}")
        if self.best is None or value < self.best:
            self.best, self.best_step = value, trainer.global_step
            self._save(trainer, BEST)
        self.save_last(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self.saved_step:  # else last-1.ckpt would be the same again
            self.save_last(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
