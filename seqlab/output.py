"""Encoding of what a command prints."""

import contextlib
import io
import sys


def take_any_text() -> None:
    """Make stdout print characters that its encoding lacks as escapes (\\xe9) instead of raising.

    Python already does this on stderr. UTF-8 lacks the surrogates that represent invalid bytes in file names.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(OSError):  # stdout was opened on a file that a terminal has replaced: leave it as is
            sys.stdout.reconfigure(errors="backslashreplace")
