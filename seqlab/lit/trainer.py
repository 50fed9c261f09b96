"""Builds the Lightning Trainer that all domains use."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seqlab.check import PACKAGES
from seqlab.errors import InputError, nearest
from seqlab.lit.checkpoints import AtomicCheckpointIO, Checkpoints, validation_is_due
from seqlab.lit.clipping import AdaptiveClipping
from seqlab.lit.interrupts import Interrupts
from seqlab.lit.module import Module
from seqlab.lit.precision import ModelPrecision, Precision, refuse_impossible
from seqlab.lit.progress import StepProgressBar, ValidationLines, progress

# Notices that users of this project cannot act on: absent devices, advertisements for other products.
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)
# Lightning uses a torch function that torch has renamed.
warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
# Every process of a run evaluates the whole set: there is nothing to reduce over processes.
warnings.filterwarnings("ignore", message="It is recommended to use .*sync_dist=True")
# An InputError replaces this warning (seqlab/lit/precision.py).
warnings.filterwarnings("ignore", message=".*precision='16-mixed'.* is not supported on CPU")
# Hydra creates the run directory, so it is not empty when the logger starts.
warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty")


class LateEarlyStopping(EarlyStopping):
    """Stops after `patience` validations without a lower monitor, but not before `min_steps`.

    Lightning's own min_steps only delays a stop: a run that ran out of patience before min_steps would stop there even
    if it improved in between.
    """

    def __init__(self, monitor: str, patience: int, min_steps: int, min_delta: float):
        super().__init__(monitor, min_delta=min_delta, patience=patience, mode="min", check_finite=True)
        self.min_steps = min_steps

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a monitor of which high is better."""
        assert isinstance(pl_module, Module)
        if pl_module.task.better.get(self.monitor.replace("val/", "test/", 1)) == "high":
            raise InputError(
                f"trainer.monitor={self.monitor}: high is better there, and best.ckpt has the lowest; "
                "allowed: a metric of which low is better, such as val/loss"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop a resumed run at once if it was killed between the validation that stopped it and its end."""
        at_validation = trainer.global_step > 0 and validation_is_due(trainer)
        if at_validation and self.wait_count >= self.patience and trainer.global_step >= self.min_steps:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitor not in trainer.callback_metrics:
            known = [name for name in trainer.callback_metrics if name.startswith("val/")]
            raise InputError(f"trainer.monitor={self.monitor}: no such metric; {nearest(self.monitor, known)}")
        super().on_validation_end(trainer, pl_module)
        if trainer.global_step < self.min_steps:
            trainer.should_stop = False


def build_trainer(
    *,
    run_dir: Path,
    loggers: Sequence[Logger],
    max_steps: Annotated[int, Ge(1)],
    min_steps: Annotated[int, Ge(0)] = 0,
    val_every: Annotated[int, Ge(1)] = 50,
    patience: Annotated[int, Ge(1)] = 10,
    min_delta: Annotated[float, Ge(0)] = 0.0,
    monitor: str = "val/loss",
    gradient_clip: Annotated[float, Gt(0)] | None = 1.0,
    clipping: AdaptiveClipping | None = None,
    precision: Precision = "32-true",
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    devices: Annotated[int, Ge(1)] = 1,
    log_every: Annotated[int, Ge(1)] = 10,
    callbacks: list[Callback] | None = None,
) -> Trainer:
    """Build a Trainer that validates, checkpoints and stops by steps.

    Args:
        run_dir: checkpoints go to run_dir/checkpoints.
        loggers: Lightning loggers for the metrics.
        max_steps: maximum number of optimizer steps.
        min_steps: no early stopping before this step; validations before it still count towards patience.
        val_every: steps between two validations.
        patience: number of validations without improvement before early stopping.
        min_delta: minimum decrease of the monitor that counts as an improvement.
        monitor: the metric of the validation for early stopping and best.ckpt, one of which low is better.
        gradient_clip: maximum global norm of the gradient; None for no clipping.
        clipping: adaptive clipping threshold, in place of gradient_clip.
        precision: precision of the model (seqlab/lit/precision.py), by Lightning's name.
        accelerator: auto uses a GPU if there is one.
        devices: number of processes that share each batch (DistributedDataParallel: nccl on GPUs, gloo on a CPU).
        log_every: steps between two rows of the training loss.
        callbacks: further ones, of a package of the user's: a plug-in (seqlab/plugins.py). Their state_dict has to be
            of tensors and plain types, or no checkpoint of the run can be read. Their hooks run before a checkpoint is
            written.

    Raises:
        ValueError: both thresholds are set, a callback is one of the trainer's own, or the machine does not have the
            devices or does not support the precision.
    """
    if clipping is not None and gradient_clip is not None:
        raise ValueError(
            f"trainer.gradient_clip={gradient_clip} with clipping=adaptive: one of them, the other is null"
        )
    checkpoints = Checkpoints(run_dir / "checkpoints", monitor)
    for callback in callbacks or ():
        if type(callback).__module__.partition(".")[0] in PACKAGES:  # they write files where a configuration says
            raise ValueError(f"trainer.callbacks: {type(callback).__name__} is the trainer's own; allowed: yours")
    every: list[Callback] = [
        LateEarlyStopping(monitor, patience, min_steps, min_delta),
        *(callbacks or ()),  # before those that save, so that checkpoints hold their state after the step
        checkpoints,
        Interrupts(checkpoints),
    ]
    if clipping is not None:
        every.append(clipping)
    every += [progress(monitor), ValidationLines(run_dir, monitor)]
    try:
        trainer = Trainer(
            accelerator=accelerator,
            devices=devices,
            # some parameters may be unused in the loss, but always the same ones
            strategy="auto" if devices == 1 else DDPStrategy(static_graph=True),
            **with_precision(precision),
            max_steps=max_steps,
            max_epochs=-1,
            val_check_interval=val_every,
            limit_val_batches=1,  # Module.validation_step evaluates the whole set
            check_val_every_n_epoch=None,
            gradient_clip_val=gradient_clip,
            log_every_n_steps=log_every,
            num_sanity_val_steps=0,
            enable_progress_bar=any(isinstance(callback, StepProgressBar) for callback in every),
            enable_model_summary=False,
            enable_checkpointing=False,
            use_distributed_sampler=False,
            callbacks=every,
            logger=list(loggers),
            default_root_dir=run_dir,
        )
    except MisconfigurationException as error:
        raise ValueError(f"trainer.devices={devices}, trainer.accelerator={accelerator}: {error}") from error
    refuse_impossible(precision, trainer.strategy.root_device.type)
    return trainer


def with_precision(precision: Precision) -> dict[str, Any]:
    """The Trainer arguments for the precision and for checkpoint writing, which both use plugins."""
    if precision in ("bf16-true", "64-true"):
        return {"plugins": [AtomicCheckpointIO(), ModelPrecision(precision)]}
    return {"plugins": [AtomicCheckpointIO()], "precision": precision}
