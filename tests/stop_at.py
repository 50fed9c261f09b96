"""python stop_at.py SIGNAL STEP SCRIPT WORDS...: run SCRIPT with WORDS; a signal reaches the process in step STEP.

The signal is a real one, sent by the process to itself as the step begins.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

from lightning import Callback, Trainer

signum, step = signal.Signals[sys.argv[1]], int(sys.argv[2])
sys.argv = sys.argv[3:]
sys.path.insert(0, str(Path(sys.argv[0]).parent))


class Stop(Callback):
    """Sends the signal."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == step:
            os.kill(os.getpid(), signum)


def with_stop(self, *arguments, made=Trainer.__init__, **options):
    """A Trainer as ever, and Stop among its callbacks."""
    made(self, *arguments, **options)
    self.callbacks.append(Stop())


Trainer.__init__ = with_stop
runpy.run_path(sys.argv[0], run_name="__main__")
