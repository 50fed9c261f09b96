"""Ends a run on Ctrl-C or SIGTERM between two steps, after writing a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from seqlab.errors import Interrupted
from seqlab.lit.checkpoints import Checkpoints, agreed, validation_is_due


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Inside the block, SIGTERM raises `Interrupted` as Ctrl-C raises KeyboardInterrupt; a second one ends the process.

    A handler that is already there is left alone.
    """
    before = signal.getsignal(signal.SIGTERM)

    def end(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, before)
        raise Interrupted(signum)

    if before == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if before == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)


class Interrupts(Callback):
    """Records SIGINT and SIGTERM, and raises `Interrupted` after the current step is complete and saved.

    A second signal stops at once, as it would have before training. Lightning's own handlers, which save nothing and
    exit with 0 on SIGTERM, are replaced during training.
    """

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints
        self.received: int | None = None
        self.before: dict[int, Any] = {}
        self.previous: dict[int, Any] = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)
        self.previous = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # before Lightning's own are there
        self.before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for signum, handler in self.before.items():
            self.previous[signum] = handler
            signal.signal(signum, self._note)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not validation_is_due(trainer) and agreed(trainer, self.received is not None):
            self.checkpoints.save_last(trainer)
            raise Interrupted(self.received or signal.SIGTERM, trainer.global_step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and agreed(trainer, self.received is not None):
            raise Interrupted(
                self.received or signal.SIGTERM, trainer.global_step
            )  # the validation has already written its checkpoints

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()
