"""The jobs of a profile, and the folders that they have for themselves."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from seqlab.errors import InputError
from seqlab.profile.models import Model
from seqlab.run.config import folder_name
from seqlab.run.launch import Child

RUNS = "runs"
RESULT = "profile.json"  # what a job leaves in its directory


class Job(NamedTuple):
    """A run of a profile: of a cell with a seed, or, with `trial`, the short run that tries a rate."""

    model: Model
    cell: str
    seed: int
    rate: float | None = None
    trial: bool = False

    @property
    def label(self) -> str:
        """For the line of the run."""
        what = f"rate {self.rate:g}" if self.trial else f"seed {self.seed}"
        return f"{self.model.label} on {self.cell}, {what}"


class Going(NamedTuple):
    """A job that runs: its process and its start, in seconds of time.monotonic()."""

    job: Job
    child: Child
    since: float


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. It is a lock of this process, which a fork neither has nor releases.

    Raises:
        InputError: another process holds it.
    """
    with open(folder / ".lock", "w", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: another profile is running there; give another --out") from None
        yield


def runs_of(folder: Path, label: str) -> Path:
    """The folder of a model's runs in that of a profile."""
    return folder / RUNS / folder_name(label, hashlib.sha256(label.encode()).hexdigest()[:8])
