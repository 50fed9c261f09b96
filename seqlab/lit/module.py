"""The base of every domain's LightningModule: optimizer, schedule, seeding, the training step."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from lightning import LightningModule
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from seqlab.errors import InputError, NonFiniteError
from seqlab.lit.datamodule import DataModule, num_rows, part_of
from seqlab.lit.kept import FileRecords, plain
from seqlab.lit.loggers import RunLogger
from seqlab.lit.precision import own_types
from seqlab.randomness import derived_seed
from seqlab.schedule import Schedule
from seqlab.share import Share

Results = Mapping[str, Share | float]


class Module(LightningModule, ABC):
    """Trains a model. A domain adds its loss, its metrics and its evaluation.

    Args:
        model: the network.
        datamodule: the data that it meets; it knows the Spec and, in most domains, the evaluation sets.
        optimizer: model -> optimizer.
        schedule: position -> multiplier of the learning rate.
        seed: randomness of step s (dropout, sampling) is a function of (seed, s).

    After a test, `results` holds every test metric as a Share or a number; when figures are drawn, `baseline_results`
    has what came of the baselines. `columns` (heading: metric) are those that a table over many runs shows, and
    `better` (metric: low or high) says where there is a best.
    """

    columns: ClassVar[Mapping[str, str]]
    better: ClassVar[Mapping[str, str]] = MappingProxyType({})
    results: dict[str, Share | float]

    def __init__(
        self,
        *,
        model: nn.Module,
        datamodule: DataModule,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Schedule,
        seed: int,
    ):
        super().__init__()
        own_types(model)
        self.model = model
        self.data = datamodule
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.seed = seed
        self.results = {}
        self.baseline_results: Mapping[str, Results] = {}
        self.row: dict[str, float] = {}
        self.config: dict[str, Any] = {}
        # a run that is loaded was looked at when it began, and its data may not be here
        if schedule.unit == "epoch" and not datamodule.restored and datamodule.steps_per_epoch is None:
            raise ValueError(
                "schedule.unit=epoch needs a finite training set: set data.num_train, or schedule.unit=step"
            )

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """The mean training loss of a batch, a scalar."""

    @abstractmethod
    def title(self) -> str:
        """One line that names the task, and says how its splits are kept apart."""

    @abstractmethod
    def baselines(self) -> Mapping[str, Results]:
        """Chance and every baseline, through the same metrics and under the same names as `results`.

        Where one may fail, they are seqlab.attempts.Attempts: it is told apart, and the others are there.
        """

    @abstractmethod
    def examples(self) -> list[dict[str, Any]]:
        """What the model does with its evaluation inputs, one plain record each (for completions.jsonl)."""

    def figures(self) -> Mapping[str, Figure]:
        """Figures of this domain after a test, by name, beside those that every run draws. They may be Attempts too."""
        return {}

    def before_training(self) -> None:
        """Get what training needs and a finished run does not: the data. Raises InputError when it is not there."""
        try:
            _ = self.data.steps_per_epoch
        except ValueError as error:
            raise InputError(str(error)) from error

    @cached_property
    def file_records(self) -> FileRecords:
        """Size and SHA-256 of the files that training reads beside those of the data module, taken once."""
        return {}

    def names(self) -> dict[str, str]:
        """What tables call the data or the model, where that is in the data and not in the configuration."""
        return {}

    def files(self) -> dict[str, str]:
        """Further text files that a run directory and an export need beside the weights, by name."""
        return {}

    @abstractmethod
    def parse_prompt(self, text: str) -> Any:
        """The model's input from what a user typed. Raises InputError that names what is wrong."""

    @abstractmethod
    def describe(self, prompt: Any) -> str:
        """What the model makes of a parsed prompt, for people to read."""

    def setup(self, stage: str) -> None:
        # before a checkpoint is read: into a model that is still in float32, 64-true would lose digits
        self.trainer.precision_plugin.convert_module(self)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        seed = derived_seed(self.seed, "step", self.global_step, *[self.global_rank][: self.global_rank])
        torch.default_generator.manual_seed(seed)  # torch.manual_seed formats a stack for each absent kind of device
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, whole = self._losses(batch)
        if not torch.isfinite(whole):
            raise NonFiniteError(f"the loss is {whole.item()} at step {self.global_step}")
        if self.logs_this_step():
            self.log("train/loss", whole, prog_bar=True, logger=False)
            self.row = {"train/loss": whole.item()}
        return loss

    def _losses(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The loss to be differentiated, and that of the whole batch.

        Where several processes share a batch, each weighs its loss so that the mean over them is that of the whole.
        """
        num_processes = self.trainer.world_size
        if num_processes == 1:
            loss = self.loss(batch)
            return loss, loss.detach()
        part = part_of(batch, self.global_rank, num_processes)
        weight = 0 if part is None else self.num_targets(part) / self.num_targets(batch) * num_processes
        loss = self.loss(part_of(batch, 0, num_rows(batch)) if part is None else part) * weight
        whole = self.trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean")
        assert isinstance(whole, Tensor)
        return loss, whole

    def num_targets(self, batch: Any) -> int:
        """Over how many targets the loss of a batch is the mean. To be written where rows have not equally many."""
        return num_rows(batch)

    def logs_this_step(self) -> bool:
        """Whether the step in hand gets a row of training metrics, `row`, to which a domain may add."""
        return (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def log_results(self, results: Results) -> None:
        """Log every result that has a value: a share of nothing is left out, never 0."""
        for name, result in results.items():
            value = result.value if isinstance(result, Share) else result
            if value is not None:
                self.log(name, float(value))

    def log_text(self, tag: str, markdown: str) -> None:
        """Hand a text to the loggers that show texts."""
        for logger in self.loggers:
            if isinstance(logger, RunLogger):
                logger.add_text(tag, markdown, self.global_step)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the global norm, and stop before the optimizer sees a gradient that is not finite."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val or math.inf)
        # a loss scaler meets infinite gradients as a matter of course and skips those steps by itself
        if self.trainer.precision != "16-mixed" and not torch.isfinite(norm):
            raise NonFiniteError(f"the gradient norm is {norm.item()} at step {self.global_step}")
        if self.logs_this_step():
            self.row["train/gradient_norm"] = norm.item()
            self._log_row()

    def _log_row(self) -> None:
        """Hand the row to the loggers: Lightning's log() would do so after on_train_batch_end, where checkpoints are
        written, and a run resumed from one would lack the row."""
        for logger in self.loggers:
            logger.log_metrics(self.row, step=self.global_step)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.model)
        steps_per_epoch = self.data.steps_per_epoch if self.schedule.unit == "epoch" else 1
        assert steps_per_epoch is not None

        def multiplier(step: int) -> float:
            return self.schedule(step // steps_per_epoch)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, multiplier), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # plain types: a checkpoint says by itself what it belongs to, and what its numbers mean
        checkpoint["config"] = self.config
        checkpoint |= self.data.kept._replace(task_files=plain(self.file_records))._asdict()
