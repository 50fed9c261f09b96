"""python stop_at.py SIGNAL STEP SCRIPT WORDS...: run SCRIPT with WORDS; a signal reaches the process in step STEP.

The signal is a real one, sent by the process to itself as the step begins.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

from lightning import Callback, Trainer


class Stop(Callback):
    """Sends the signal."""

    def __init__(self, signum, step):
        self.signum, self.step = signum, step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.signum)


def main(signum, step, script, *words):
    """Run the script with Stop among the callbacks of every Trainer that it makes."""
    made = Trainer.__init__

    def with_stop(self, *arguments, **options):
        made(self, *arguments, **options)
        self.callbacks.append(Stop(signal.Signals[signum], int(step)))

    Trainer.__init__ = with_stop
    sys.argv = [script, *words]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
