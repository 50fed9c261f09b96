"""Independent computations: the failure of one is recorded and does not stop the others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Attempts(dict[str, T]):
    """Results by name; `errors` holds the exceptions of the failed computations, also by name.

    Used for what a finished run adds to its metrics: baselines, figures, rows for loggers. Every owner of an Attempts
    must report its `errors`: no failure may go unnoticed.

    >>> rows = Attempts[float]()
    >>> for number in (2, 0):
    ...     with rows.attempt(f"1 / {number}"):
    ...         rows[f"1 / {number}"] = 1 / number
    >>> dict(rows), {name: reason(error) for name, error in rows.errors.items()}
    ({'1 / 2': 0.5}, {'1 / 0': 'ZeroDivisionError: division by zero'})
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, Exception] = {}

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Record an exception raised in the block under a name. Ctrl-C and signals pass through."""
        try:
            yield
        except Exception as error:
            self.errors[name] = error

    def take(self, others: Mapping[str, T]) -> None:
        """Add the results of another mapping, and its errors if it is an Attempts."""
        self.update(others)
        if isinstance(others, Attempts):
            self.errors |= others.errors


def reason(error: Exception) -> str:
    """Describe an error in one line. The type precedes the message, except for ValueError and OSError."""
    if isinstance(error, OSError) and error.strerror is not None:  # a full disk's error names no file
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return text if text and isinstance(error, ValueError | OSError) else f"{kind}: {text}".rstrip(": ")
