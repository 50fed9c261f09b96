"""The ways in which a command ends badly on purpose. seqlab/cli.py says each in one line."""

import difflib
import signal
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: a value that a user set is unknown, of the wrong type, out of range, or does not fit another."""


class NonFiniteError(RuntimeError):
    """The loss or the gradient is NaN or infinite."""


class Interrupted(BaseException):
    """A signal ended the training, with last.ckpt written at `step`, or a sweep between two of its jobs."""

    def __init__(self, signum: int, step: int | None = None):
        name = signal.Signals(signum).name
        super().__init__(name if step is None else f"{name} at step {step}; last.ckpt is saved")
        self.signum = signum


def refuse_bytes(text: str) -> None:
    """Raise InputError for a text that is none: bytes that are not UTF-8 (they stand as surrogates), or a NUL."""
    if "\0" in text:
        raise InputError(f"{text!a}: byte 0x0 is no text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{text!a}: byte {ord(text[error.start]) & 0xFF:#x} is not UTF-8") from error


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choices for a user who typed `word`, the likeliest first.

    >>> nearest("transfromer", ["lstm", "transformer"])
    'did you mean transformer? (allowed: lstm, transformer)'
    """
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    allowed = f"allowed: {', '.join(choices)}"
    return f"did you mean {close[0]}? ({allowed})" if close else allowed
