"""Startup of a command: Ctrl-C during imports and unknown options end it with one line, and imports make no garbage.

A command calls `starting()` before its imports and `started()` after them. Importing torch takes seconds. A
KeyboardInterrupt during that time would print a traceback from a third-party module, or get lost in it. Nor are the
million objects of the imports searched for garbage meanwhile or ever again: that took a sixth of the time. This module
imports only the standard library.
"""

import argparse
import gc
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_undo: list[Callable[[], None]] = []  # at most one


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def starting(undo: Callable[[], None] | None = None) -> None:
    """Until `started`, make Ctrl-C and SIGTERM end the process at once with one line and exit code 130 or 143.

    Signals that already have another handler, or are ignored (as for a background process), are left alone.

    Args:
        undo: called before exit, to remove what the startup has left behind.
    """
    gc.disable()
    if undo is not None:
        _undo[:] = [undo]
    for signum, default in DEFAULTS.items():
        if signal.getsignal(signum) == default:
            signal.signal(signum, _end)


def started() -> None:
    """Restore Python's default signal handlers and its search for garbage, which leaves out what was imported."""
    gc.freeze()
    gc.enable()
    for signum, default in DEFAULTS.items():
        if signal.getsignal(signum) is _end:
            signal.signal(signum, default)


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    for known in DEFAULTS:
        signal.signal(known, signal.SIG_IGN)  # ignore a second Ctrl-C
    try:
        for undo in _undo:
            undo()
    finally:
        if os.isatty(2):
            os.write(2, b"\r\x1b[K")  # what seqlab/waiting.py shows
        os.write(2, b"interrupted\n" if signum == signal.SIGINT else b"interrupted: SIGTERM\n")
        os._exit(128 + signum)
