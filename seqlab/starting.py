"""How a command starts: Ctrl-C while it imports, and options that there are not, end it in one line.

A command says `starting()` before its imports and `started()` behind them. Importing torch takes seconds, in which a
KeyboardInterrupt would end in a traceback of somebody else's module, or be lost in it. Nothing here imports more than
the standard library.
"""

import argparse
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_undo: list[Callable[[], None]] = []  # one at most


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def starting(undo: Callable[[], None] | None = None) -> None:
    """From here until `started`, Ctrl-C and SIGTERM end the process at once: one line, exit code 130 or 143.

    Signals that somebody else handles, or that are ignored (as in the background), stay so.

    Args:
        undo: removes what the start has left so far.
    """
    if undo is not None:
        _undo[:] = [undo]
    for signum, default in DEFAULTS.items():
        if signal.getsignal(signum) == default:
            signal.signal(signum, _end)


def started() -> None:
    """The imports are done: the signals do what they do in any Python program."""
    for signum, default in DEFAULTS.items():
        if signal.getsignal(signum) is _end:
            signal.signal(signum, default)


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    for known in DEFAULTS:
        signal.signal(known, signal.SIG_IGN)  # a second Ctrl-C
    try:
        for undo in _undo:
            undo()
    finally:
        os.write(2, b"interrupted\n" if signum == signal.SIGINT else b"interrupted: SIGTERM\n")
        os._exit(128 + signum)
