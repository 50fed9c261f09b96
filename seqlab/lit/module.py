"""The LightningModule for every model and task: optimizer, schedule, seeding, training step."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from seqlab.errors import NonFiniteError
from seqlab.kept import plain
from seqlab.lit.checkpoints import version
from seqlab.lit.datamodule import DataModule, num_rows, part_of
from seqlab.lit.loggers import RunLogger
from seqlab.lit.precision import own_types
from seqlab.proportion import value_of
from seqlab.randomness import derived_seed
from seqlab.schedule import Schedule
from seqlab.task import Results, Task, Watched


class Module(LightningModule):
    """Trains a model on a task.

    Args:
        model: the network.
        task: loss, evaluation and data.
        optimizer: model -> optimizer.
        schedule: position -> multiplier of the learning rate.
        seed: the randomness of step s (dropout, sampling) is a function of (seed, s).
        config: the run's resolved configuration, stored in checkpoints.

    Raises:
        ValueError: the model does not fit the task, or schedule.unit=epoch is used with endless data.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        task: Task,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Schedule,
        seed: int,
        config: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        own_types(model)
        task.check_model(model)
        self.model = model
        self.task = task
        self.data: DataModule = task.data
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.seed = seed
        self.config = dict(config or {})
        self.initial: dict[str, Any] | None = None  # where the first weights came from (seqlab/run/initial.py)
        self.row: dict[str, float] = {}
        self.counts: Mapping[str, int] = {}
        self.predictions = ""  # a few of the last validation, in one line
        self.clock = 0, time.monotonic()
        # a loaded run was checked when it started, and its data may be absent now
        if schedule.unit == "epoch" and not self.data.restored and self.data.steps_per_epoch is None:
            raise ValueError(
                "schedule.unit=epoch needs a finite training set: set data.num_train, or schedule.unit=step"
            )

    def setup(self, stage: str) -> None:
        # before a checkpoint is loaded: loading float64 weights into a float32 model would lose digits
        self.trainer.precision_plugin.convert_module(self)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        seed = derived_seed(self.seed, "step", self.global_step, *[self.global_rank][: self.global_rank])
        torch.default_generator.manual_seed(seed)  # torch.manual_seed is slow: it formats a stack per absent device
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, whole = self._losses(batch)
        if not torch.isfinite(whole):
            raise NonFiniteError(f"the loss is {whole.item()} at step {self.global_step}")
        if self.logs_this_step():
            self.log("train/loss", whole, prog_bar=True, logger=False)
            self.row, self.counts = {"train/loss": whole.item()}, self.task.rates(batch)
        return loss

    def on_train_start(self) -> None:
        tested = {"test/loss", *self.task.columns.values()}
        for logger in self.loggers:
            if isinstance(logger, RunLogger):
                logger.choose(tested | {name.replace("test/", "val/", 1) for name in tested})
        self.clock = self.global_step, time.monotonic()

    def _rates(self, steps: int) -> dict[str, float]:
        """The task's counts per second of training since the last row or validation, after so many steps."""
        before, self.clock = self.clock, (steps, time.monotonic())
        taken, seconds = (now - then for now, then in zip(self.clock, before, strict=True))
        return {name: taken * count / seconds for name, count in self.counts.items()}

    def _losses(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The loss to differentiate, and the loss of the whole batch.

        If several processes share a batch, each weights its loss so that the mean over processes is the loss of the
        whole batch.
        """
        num_processes = self.trainer.world_size
        if num_processes == 1:
            loss = self.task.loss(self.model, batch)
            return loss, loss.detach()
        part = part_of(batch, self.global_rank, num_processes)
        num_targets = self.task.num_targets
        weight = 0 if part is None else num_targets(part) / num_targets(batch) * num_processes
        loss = self.task.loss(self.model, part_of(batch, 0, num_rows(batch)) if part is None else part) * weight
        whole = self.trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean")
        assert isinstance(whole, Tensor)
        return loss, whole

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """At the first batch, the task evaluates the whole validation set; at others nothing is done."""
        if batch_idx:
            return
        watched = Watched(*self.task.watch(self.model))
        self.log_results(watched.results)
        self.predictions = watched.predictions
        for name, markdown in watched.texts.items():
            self.log_text(name, markdown)
        self.clock = self.global_step, time.monotonic()  # a validation is not training time

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Evaluate the whole test set with the task, on the first batch only."""
        if not batch_idx:
            self.log_results(self.task.evaluate(self.model, "test"))

    def logs_this_step(self) -> bool:
        """Whether the current step gets a row of training metrics, `row`."""
        return (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def log_results(self, results: Results) -> None:
        """Log every result that has a value. A proportion without trials is omitted, not logged as 0."""
        in_training = self.trainer.state.fn == TrainerFn.FITTING
        row = {name: float(value) for name, result in results.items() if (value := value_of(result)) is not None}
        logger = False if in_training else None
        for name, value in row.items():
            self.log(name, value, batch_size=1, logger=logger)  # 1: keeps Lightning from inferring a weight
        if in_training:
            self._send(row, self.global_step)

    def log_text(self, tag: str, markdown: str) -> None:
        """Log a text to all loggers that support texts."""
        for logger in self.loggers:
            if isinstance(logger, RunLogger):
                logger.add_text(tag, markdown, self.global_step)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the global norm. Raises NonFiniteError before the optimizer uses a non-finite gradient."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val or math.inf)
        # with a loss scaler infinite gradients are normal: it skips those steps itself
        if self.trainer.precision != "16-mixed" and not torch.isfinite(norm):
            raise NonFiniteError(f"the gradient norm is {norm.item()} at step {self.global_step}")
        if self.logs_this_step():
            self.row |= {"train/gradient_norm": norm.item(), "train/lr": optimizer.param_groups[0]["lr"]}
            self.row |= self._rates(self.global_step + 1)  # the optimizer takes this step next
            self._send(self.row, self.global_step + 1)

    def _send(self, row: dict[str, float], step: int) -> None:
        """Send a row to the loggers directly, at the number of steps taken.

        Lightning's log() does so only after on_train_batch_end, where checkpoints are written. A run resumed from such
        a checkpoint would lack the row. And Lightning counts one step less at a validation.
        """
        for logger in self.loggers:
            logger.log_metrics(row, step=step)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.model)
        if self.trainer.precision == "16-mixed":  # has a loss scaler
            optimizer = _without_fused_kernel(optimizer)
        steps_per_epoch = self.data.steps_per_epoch if self.schedule.unit == "epoch" else 1
        assert steps_per_epoch is not None
        schedule = self.schedule.in_run(steps_per_epoch)

        def multiplier(step: int) -> float:
            return schedule(step // steps_per_epoch)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, multiplier), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # plain types: a checkpoint is self-describing
        checkpoint["config"] = self.config
        checkpoint["version"] = version()
        if self.initial is not None:
            checkpoint["initial"] = self.initial
        checkpoint |= self.data.kept._replace(task_files=plain(self.task.file_records))._asdict()


def _without_fused_kernel(optimizer: Optimizer) -> Optimizer:
    """The same optimizer, new, without torch's fused kernel if it has it.

    A fused optimizer divides gradients by the loss scale itself, in its step: whoever clips before that step sees them
    scaled.
    """
    groups = optimizer.param_groups
    if not any(group.get("fused") for group in groups):
        return optimizer
    return type(optimizer)([{**group, "fused": False} for group in groups])  # type: ignore[call-arg]
