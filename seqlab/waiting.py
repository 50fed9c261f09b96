"""What a command is busy with while it prints nothing else: one line on a terminal, which is erased afterwards.

On a pipe only the stages after training leave a line: an error before it stays the only line there.

The line has no thread and does not move: a thread would keep a sweep from forking, and would take time from a busy
core. This module imports only the standard library, so that the line is there before torch is.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ERASE = "\r\x1b[K"  # to the start of the line, and what is there goes
_hushed = [False]


@contextmanager
def waiting(what: str, *, on_a_pipe: bool = False) -> Iterator[None]:
    """Show on stderr that the block is busy with `what`, if stderr is a terminal.

    The cursor stays at the start of the line, so what the block prints itself takes its place.

    Args:
        what: the stage.
        on_a_pipe: whether a pipe or a file gets a line too, which stays.
    """
    shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not _hushed[0]
    if shown:
        print(f"{ERASE}{what} ...", end="\r", file=sys.stderr, flush=True)
    elif on_a_pipe and not _hushed[0] and not sys.stderr.isatty():
        print(f"{what} ...", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(ERASE, end="", file=sys.stderr, flush=True)


@contextmanager
def hushed(quiet: bool) -> Iterator[None]:
    """Inside the block, show nothing if `quiet`."""
    before, _hushed[0] = _hushed[0], _hushed[0] or quiet
    try:
        yield
    finally:
        _hushed[0] = before
