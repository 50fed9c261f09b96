"""What a command prints, in the encoding of whatever reads it."""

import contextlib
import io
import sys


def take_any_text() -> None:
    """From here on a character that stdout's encoding lacks is printed as an escape: \\xe9, where print would raise.

    Python does so on stderr by itself. UTF-8 lacks what stands for a byte of a file's name that is no UTF-8.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(OSError):  # opened on a file in whose place a terminal stands now: it stays as it is
            sys.stdout.reconfigure(errors="backslashreplace")
