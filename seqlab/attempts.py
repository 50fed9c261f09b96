"""Things that are computed each by itself: one that fails is noted, and the others are there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Attempts(dict[str, T]):
    """Results by name, and in `errors` what the others failed of, by name too.

    For what a finished run adds to its metrics: baselines, figures, rows for loggers. Whoever has an Attempts says what
    is in `errors`: nothing may be lost in silence.

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
        """Note what is raised inside under a name; Ctrl-C and signals pass."""
        try:
            yield
        except Exception as error:
            self.errors[name] = error

    def take(self, others: Mapping[str, T]) -> None:
        """Add the results of others, and their errors where they are Attempts too."""
        self.update(others)
        if isinstance(others, Attempts):
            self.errors |= others.errors


def reason(error: Exception) -> str:
    """An error in one line: what it says, after its kind where that is none of those that are written for people."""
    if isinstance(error, OSError) and error.strerror is not None:  # a full disk comes without a file's name
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return text if text and isinstance(error, ValueError | OSError) else f"{kind}: {text}".rstrip(": ")
