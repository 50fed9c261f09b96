"""Atomic checkpoints: best.ckpt, last.ckpt and its predecessor, last-1.ckpt."""

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
from seqlab.nn.native.choice import last_choice

# Also in seqlab/run/directory.py, which this package may not import.
BEST, LAST, BEFORE_LAST = "best.ckpt", "last.ckpt", "last-1.ckpt"
OLDEST = (0, 2)  # the first version whose checkpoints can be loaded
OLDEST_RESUMABLE = (0, 3)  # the first version whose training can go on: dropout draws other masks since


class AtomicCheckpointIO(CheckpointIO):
    """Writes to a temporary name in the same folder, fsyncs and renames. Reads only tensors and plain types.

    A reader sees the old file or the new one, never a partial one. Writing last.ckpt keeps its predecessor as
    last-1.ckpt.

    Raises:
        OSError: the disk is full or the folder is read-only. The error names the file; existing files are kept.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        content = io.BytesIO()  # torch.save into a file would raise RuntimeError, not OSError, on a full disk
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
    """Load a checkpoint file: tensors and plain types.

    Raises:
        InputError: the file is missing, truncated or damaged, or holds objects that need unpickling.
    """
    if not Path(path).is_file():
        raise InputError(f"no checkpoint at {path}")
    try:
        if not zipfile.is_zipfile(path):  # torch.load would try older formats, which SeqLab never wrote
            raise InputError(f"cannot read the checkpoint {path}: it is truncated or not a checkpoint")
        with warnings.catch_warnings(action="ignore"):  # about a file that is refused anyway
            content = torch.load(path, map_location=map_location, weights_only=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error.strerror or 'it cannot be read'}") from error
    except pickle.UnpicklingError as error:  # torch's message would tell the user how to load it unsafely
        raise InputError(
            f"cannot read the checkpoint {path}: it holds objects other than tensors and plain values"
        ) from error
    except Exception as error:  # torch raises many types of errors for a damaged file
        raise InputError(f"cannot read the checkpoint {path}: it is damaged or not a checkpoint") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a checkpoint of SeqLab: it holds a {type(content).__name__}")
    return content


def version() -> str:
    """The running version of SeqLab; `unknown` in a checkout that is not installed."""
    try:
        return metadata.version("seqlab")
    except metadata.PackageNotFoundError:
        return "unknown"


def origin(content: dict[str, Any]) -> str:
    """A note for messages that names the SeqLab version that wrote a checkpoint; empty if it is this version."""
    wrote = str(content.get("version"))
    return "" if wrote == version() else f" (written by SeqLab {wrote}; this is {version()})"


def refuse_old(wrote: object, file: str | Path) -> None:
    """Raise InputError for a file from before SeqLab 0.2, whose configuration names classes that are gone.

    Args:
        wrote: the version that the file says; None where it says none.
        file: where it came from, for the message.
    """
    if wrote is None or _is_before(OLDEST, wrote):
        raise InputError(
            f"{file} was written by SeqLab {wrote or 'before 0.1.0'}, and this is {version()}: runs from before "
            f"{'.'.join(map(str, OLDEST))} cannot be loaded or resumed; use that version, or train again"
        )


def refuse_resuming(wrote: object, file: str | Path) -> None:
    """Raise InputError if training cannot go on from a checkpoint of this version, although its weights load."""
    if _is_before(OLDEST_RESUMABLE, wrote):
        raise InputError(
            f"{file} was written by SeqLab {wrote}, and this is {version()}: since "
            f"{'.'.join(map(str, OLDEST_RESUMABLE))} dropout draws other masks, so its training cannot go on as it "
            "began; predict, report and export still read it; to go on, use that version, or train again"
        )


def _is_before(first: tuple[int, int], wrote: object) -> bool:
    number = re.match(r"(\d+)\.(\d+)", str(wrote))
    return number is not None and (int(number[1]), int(number[2])) < first


def kept_in(content: Mapping[str, Any], file: str | Path) -> Kept:
    """Extract what a checkpoint stores about the data of its run.

    Args:
        content: the content of the checkpoint.
        file: its path, for the message.

    Raises:
        InputError: a key is missing.
    """
    if absent := [key for key in Kept._fields if key not in content]:
        raise InputError(
            f"{file} holds no {', '.join(absent)}: it is from a version of SeqLab that did not store what was fitted "
            "to the data; train the run again"
        )
    return Kept(*(content[key] for key in Kept._fields))


def environment() -> dict[str, Any]:
    """The environment that affects rounding: the order of floating-point sums depends on threads and kernels."""
    chosen = last_choice()
    return {
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    } | ({} if chosen is None else {"kernels": chosen})


def validation_is_due(trainer: Trainer) -> bool:
    """Whether a validation follows the step that has just ended.

    No checkpoint may be written before that validation, because a run resumed from it would skip the validation.
    """
    assert trainer.val_check_batch is not None  # it is None only for time-based validation
    return trainer.global_step % trainer.val_check_batch == 0


def training_seconds(trainer: Trainer) -> float:
    """Training time of a run in seconds, over all of its resumed parts.

    At the step of the newest checkpoint it is the value stored there. A resumed run counts from that value, so the
    time never decreases from one part to the next.
    """
    checkpoints = _checkpoints(trainer)
    return checkpoints.saved_seconds if checkpoints.saved_step == trainer.global_step else checkpoints.seconds_so_far()


def has_begun(trainer: Trainer) -> bool:
    """Whether training has started, so that everything from the checkpoint is restored."""
    return _checkpoints(trainer).begun


def _checkpoints(trainer: Trainer) -> "Checkpoints":
    (checkpoints,) = (callback for callback in trainer.callbacks if isinstance(callback, Checkpoints))  # type: ignore[attr-defined]
    return checkpoints


def agreed(trainer: Trainer, wish: bool) -> bool:
    """Whether any process of the run wishes so. Used for actions that all processes must take together."""
    return trainer.strategy.reduce_boolean_decision(wish, all=False)


class Checkpoints(Callback):
    """Saves last.ckpt at each validation and at regular intervals, and best.ckpt when the monitor improves.

    Args:
        folder: the folder of the checkpoints.
        monitor: the metric whose lowest value is best.
        seconds: after a step, save if the last save is longer ago than this.
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
        """Write last.ckpt with the current state."""
        self._save(trainer, LAST)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def _save(self, trainer: Trainer, name: str) -> None:
        for logger in trainer.loggers:  # write rows first, so that a kill cannot lose rows from before the checkpoint
            logger.save()
        trainer.save_checkpoint(self.folder / name, weights_only=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begun = True
        self.saved_at = self.started_at = time.monotonic()

    def seconds_so_far(self) -> float:
        """Training time until now in seconds, over all parts of the run."""
        return self.seconds_before + time.monotonic() - self.started_at

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.saved_seconds = self.seconds_so_far()
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
        if trainer.global_step != self.saved_step:  # otherwise last-1.ckpt would become a copy of last.ckpt
            self.save_last(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
