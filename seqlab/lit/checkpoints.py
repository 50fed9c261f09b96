"""Checkpoints that are whole or absent: best.ckpt, last.ckpt and the one before, last-1.ckpt."""

import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from seqlab.errors import InputError, NonFiniteError


class AtomicCheckpointIO(CheckpointIO):
    """Writes to a temporary name in the same folder, fsyncs, renames; reads plain types only.

    A reader sees the old file or the new one, never half a file. Writing last.ckpt keeps its predecessor as
    last-1.ckpt.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        with open(temporary, "wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        if path.name == "last.ckpt" and path.exists():
            os.replace(path, path.with_name("last-1.ckpt"))
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

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
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file; each means the same to a user
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot read the checkpoint {path}: {reason}") from error


def validation_is_due(trainer: Trainer) -> bool:
    """Whether a validation follows the step that ends. A run resumed from a checkpoint made before it would skip it."""
    assert trainer.val_check_batch is not None  # it is None only where validation goes by time
    return trainer.global_step % trainer.val_check_batch == 0


class Checkpoints(Callback):
    """Saves last.ckpt at each validation and at least once a minute, and best.ckpt when the monitor improves.

    Args:
        folder: where the files go.
        monitor: the metric whose lowest value is best.
        seconds: the longest time between two saves.
    """

    def __init__(self, folder: Path, monitor: str = "val/loss", seconds: float = 60.0):
        self.folder = folder
        self.monitor = monitor
        self.seconds = seconds
        self.best: float | None = None
        self.best_step = 0
        self.saved_step = -1
        self.saved_at = time.monotonic()

    def save_last(self, trainer: Trainer) -> None:
        """Write last.ckpt as things stand."""
        trainer.save_checkpoint(self.folder / "last.ckpt", weights_only=False)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self.saved_at > self.seconds and not validation_is_due(trainer):
            self.save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        value = float(trainer.callback_metrics[self.monitor])
        if not math.isfinite(value):
            raise NonFiniteError(f"{self.monitor} is {value} at step {trainer.global_step}")
        if self.best is None or value < self.best:
            self.best, self.best_step = value, trainer.global_step
            trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=False)
        self.save_last(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self.saved_step:  # else last-1.ckpt would be the same again
            self.save_last(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
