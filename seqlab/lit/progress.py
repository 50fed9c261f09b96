"""Progress of training: a Rich bar on a terminal, otherwise a line at regular intervals."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import ProcessingSpeedColumn
from lightning.pytorch.trainer.states import TrainerFn
from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TimeRemainingColumn
from rich.progress import Task as RichTask
from rich.table import Column
from rich.text import Text

from seqlab.lit.checkpoints import Checkpoints

WIDE = 100  # columns of a terminal that has room for the speed
LOG = "run.log"  # also in seqlab/run/directory.py, which this package may not import


def progress(monitor: str) -> Callback:
    """The callback that shows progress on stderr: the bar if it is a terminal, else lines."""
    return StepProgressBar(monitor) if sys.stderr.isatty() else ProgressLines(monitor)


def silence(trainer: Trainer) -> None:
    """Show no progress of this trainer."""
    shown = (StepProgressBar, ProgressLines)
    trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, shown)]  # type: ignore[attr-defined]
    keep_to_the_log(trainer)


def keep_to_the_log(trainer: Trainer) -> None:
    """Write validations of this trainer to run.log alone, and not on the screen."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ValidationLines):
            callback.shown = False


class Line(ProgressColumn):
    """A text in the bar that is never broken into lines."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.text = ""

    def render(self, task: RichTask) -> Text:
        return Text(self.text, style="italic")


class StepProgressBar(RichProgressBar):
    """A bar over the optimizer steps up to trainer.max_steps, because an endless stream has no epoch length.

    It has the time that is left, the training loss, the monitor at the last validation and the best so far, in one line
    of 80 columns. Where there is room it has the speed too.

    Args:
        monitor: the metric by which best.ckpt is chosen.
    """

    def __init__(self, monitor: str = "val/loss"):
        super().__init__(console_kwargs={"stderr": True})
        self.names = ("train/loss", monitor)
        self.losses = Line()

    @property
    def total_train_batches(self) -> int:
        return self.trainer.max_steps

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """What stands in the line, from left to right."""
        speed = [ProcessingSpeedColumn("dim")] if get_console().width >= WIDE else []
        return [BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn(compact=True), *speed, self.losses]

    def get_metrics(self, trainer, pl_module):  # type: ignore[no-untyped-def]
        """Refresh what the bar says; the library's own column, which breaks lines, gets nothing."""
        best = best_so_far(trainer)
        self.losses.text = "  ".join([*newest(trainer, self.names), *([] if best is None else [f"best {best:.4g}"])])
        return {}

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self.progress is not None:
            self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


class ProgressLines(Callback):
    """Prints a line on stderr, for a log file: step 400/1200  train/loss 0.412  val/loss 0.398  12.3 steps/s  eta 1:05

    The rate, and so the remaining time, is a mean since training started or resumed, including validations.

    Args:
        monitor: a metric to show next to the training loss.
        seconds: time between two lines.
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
            left = clock((trainer.max_steps - step) / rate)
            print(f"{reached(trainer, self.names)}  {rate:.3g} steps/s  eta {left}", file=sys.stderr, flush=True)


class ValidationLines(Callback):
    """Writes a line at each validation to run.log and on stderr, with a few predictions of the model:

    step 400/1200  train/loss 0.412  val/loss 0.398  best 0.391  ([ -> ]) (in the language)

    Args:
        folder: the run directory.
        monitor: a metric to show next to the training loss.
    """

    def __init__(self, folder: Path, monitor: str):
        self.file = folder / LOG
        self.names = ("train/loss", monitor)
        self.shown = True  # on stderr

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or not trainer.is_global_zero:
            return
        best, predictions = best_so_far(trainer), getattr(pl_module, "predictions", "")
        shown_best = "" if best is None else f"best {best:.4g}"
        line = "  ".join(filter(None, [reached(trainer, self.names), shown_best, predictions]))
        with open(self.file, "a", encoding="utf-8") as log:
            print(line, file=log)
        if not self.shown:
            return
        bar = next((one for one in trainer.callbacks if isinstance(one, StepProgressBar)), None)  # type: ignore[attr-defined]
        if bar is None:
            print(line, file=sys.stderr, flush=True)
        else:  # which has the rest
            bar.say("  ".join(filter(None, [reached(trainer, self.names[1:]), predictions])))


def best_so_far(trainer: Trainer) -> float | None:
    """The lowest monitor of all validations, over all parts of a resumed run; None before the first one."""
    return next((one.best for one in trainer.callbacks if isinstance(one, Checkpoints)), None)  # type: ignore[attr-defined]


def reached(trainer: Trainer, names: Sequence[str]) -> str:
    """The step of a trainer, and its newest values of some metrics."""
    return "  ".join([f"step {trainer.global_step}/{trainer.max_steps}", *newest(trainer, names)])


def newest(trainer: Trainer, names: Sequence[str]) -> list[str]:
    """The newest values of some metrics, those that are known."""
    values = trainer.callback_metrics
    return [f"{name} {float(values[name]):.4g}" for name in names if name in values]


def clock(seconds: float) -> str:
    """Format seconds as hours, minutes and seconds.

    >>> clock(65), clock(3600 * 25 + 7)
    ('1:05', '25:00:07')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
