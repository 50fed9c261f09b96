"""Errors that end a command deliberately. seqlab/cli.py reports each in one line."""

import difflib
import signal
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: a value that the user set is unknown, of the wrong type, out of range, or conflicts with another."""


class NonFiniteError(RuntimeError):
    """The loss or the gradient is NaN or infinite."""


class Interrupted(BaseException):
    """A signal ended training after last.ckpt was written at `step`, or ended a sweep between two jobs."""

    def __init__(self, signum: int, step: int | None = None):
        name = signal.Signals(signum).name
        super().__init__(name if step is None else f"{name} at step {step}; last.ckpt is saved")
        self.signum = signum


def refuse_bytes(text: str) -> None:
    """Raise InputError if a string holds a NUL byte or bytes that are not UTF-8 (represented as surrogates)."""
    if "\0" in text:
        raise InputError(f"{text!a}: byte 0x0 is not text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{text!a}: byte {ord(text[error.start]) & 0xFF:#x} is not UTF-8") from error


def nearest(word: str, choices: Iterable[str]) -> str:
    """List the allowed choices for a user who typed `word`, with the closest match first.

    >>> nearest("transfromer", ["lstm", "transformer"])
    'did you mean transformer? (allowed: lstm, transformer)'
    """
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    allowed = f"allowed: {', '.join(choices)}"
    return f"did you mean {close[0]}? ({allowed})" if close else allowed
