"""How far training is: a Rich bar on a terminal, and a line every so often where there is none."""

import sys
import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


def progress(monitor: str) -> Callback:
    """What shows on stderr how far training is: the bar where that is a terminal, else the lines."""
    return StepProgressBar(console_kwargs={"stderr": True}) if sys.stderr.isatty() else ProgressLines(monitor)


class StepProgressBar(RichProgressBar):
    """Counts optimizer steps to trainer.max_steps: batches are an endless stream, so an epoch has no length to show."""

    @property
    def total_train_batches(self) -> int:
        return self.trainer.max_steps

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"

    def get_metrics(self, trainer, pl_module):  # type: ignore[no-untyped-def]
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class ProgressLines(Callback):
    """Prints a line on stderr, for a log file: step 400/1200  train/loss 0.412  val/loss 0.398  12.3 steps/s  eta 1:05

    The rate, and with it the time left, is the mean since training was taken up, validations included.

    Args:
        monitor: a metric to show beside the training loss.
        seconds: from one line to the next.
    """

    def __init__(self, monitor: str = "val/loss", seconds: float = 30.0):
        self.names = ("train/loss", monitor)
        self.seconds = seconds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started_at = self.said_at = time.monotonic()
        self.first_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now - self.said_at >= self.seconds and trainer.is_global_zero:
            self.said_at = now
            step = trainer.global_step
            rate = (step - self.first_step) / max(now - self.started_at, 1e-9)
            shown = [name for name in self.names if name in trainer.callback_metrics]
            metrics = [f"{name} {float(trainer.callback_metrics[name]):.4g}" for name in shown]
            left = clock((trainer.max_steps - step) / rate)
            parts = [f"step {step}/{trainer.max_steps}", *metrics, f"{rate:.3g} steps/s", f"eta {left}"]
            print("  ".join(parts), file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(65), clock(3600 * 25 + 7)
    ('1:05', '25:00:07')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
