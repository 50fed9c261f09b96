"""A run directory: where its files are, whether a process works in it, and what became of the run.

status.json says running, done, interrupted or failed, with the reason and the hash of the configuration. Whoever works
in the directory holds its lock, which the system gives back when the process ends in whatever way: a run that is
`running` and not locked was killed. Nothing here imports torch.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from seqlab.errors import InputError
from seqlab.files import write_json


class Status(NamedTuple):
    """What became of a run.

    state: running, done, interrupted or failed; `unknown` where nothing that can be read says so.
    reason: why it ended, in one line; empty while it runs.
    hash: of its configuration.
    """

    state: str = "unknown"
    reason: str = ""
    hash: str = ""


@dataclass(frozen=True)
class RunDirectory:
    """The directory `path` of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration that the run began with, as it was composed."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def overrides(self) -> Path:
        """The words that began the run."""
        return self.path / ".hydra" / "overrides.yaml"

    @property
    def hydra(self) -> Path:
        """Hydra's own node of the configuration."""
        return self.path / ".hydra" / "hydra.yaml"

    @property
    def status(self) -> Path:
        """What became of the run; see `read_status`."""
        return self.path / "status.json"

    @property
    def summary(self) -> Path:
        """What came of the run."""
        return self.path / "summary.json"

    @property
    def metrics(self) -> Path:
        """Every metric that was logged, with its step."""
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        """What the processes of the run say, with the whole of each error."""
        return self.path / "run.log"

    @property
    def predictions(self) -> Path:
        """What the model made of its evaluation inputs."""
        return self.path / "predictions.jsonl"

    @property
    def plots(self) -> Path:
        """The folder of the figures."""
        return self.path / "plots"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def before_last(self) -> Path:
        """The checkpoint before the newest one."""
        return self.checkpoints / "last-1.ckpt"

    @property
    def wandb(self) -> Path:
        """The folder in which W&B keeps files and links of its own."""
        return self.path / "wandb"

    @property
    def export(self) -> Path:
        """The folder of the exports."""
        return self.path / "export"

    @property
    def folders(self) -> list[Path]:
        """The folders that a run and its export make, in which no other run is."""
        return [self.config.parent, self.checkpoints, self.plots, self.path / "tensorboard", self.wandb, self.export]

    @property
    def lock(self) -> Path:
        """The file that whoever works here holds locked."""
        return self.path / ".lock"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the directory for this process.

        Raises:
            InputError: when another process works in it.
        """
        lock = FileLock(self.lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(f"{self.path}: another process is training there") from None
        try:
            yield
        finally:
            lock.release()

    def in_use(self) -> bool:
        """Whether a process works in the directory."""
        if not self.lock.exists():  # looking leaves nothing behind
            return False
        try:
            with self.claimed():
                return False
        except InputError:
            return True

    def is_used(self) -> bool:
        """Whether a run has its files here. (A refused job of a sweep has left its status only.)"""
        return any(path.exists() for path in (self.config, self.summary, self.checkpoints, self.metrics))

    def is_run(self) -> bool:
        """Whether a run works or worked here: it has left a summary, a status or its configuration."""
        return any(path.is_file() for path in (self.summary, self.status, self.config))

    def read_status(self) -> Status:
        """What status.json says; what it does not say, or in another type than a text, is the default."""
        try:
            content = json.loads(self.status.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            content = {}
        said = content if isinstance(content, dict) else {}
        texts = {"state": said.get("status"), "reason": said.get("reason"), "hash": said.get("hash")}
        return Status(**{key: text for key, text in texts.items() if isinstance(text, str)})

    def write_status(self, status: Status) -> None:
        """Say what became of the run."""
        write_json(self.status, {"status": status.state, "reason": status.reason, "hash": status.hash})

    def remove_if_empty(self) -> None:
        """Remove the directory of a refused job, and the folders that were made for it: those below the working
        directory that hold nothing else."""
        if not set(self.path.iterdir()) <= {self.log, self.lock}:
            return
        shutil.rmtree(self.path)
        for folder in self.path.parents:
            if Path.cwd() not in folder.parents or any(folder.iterdir()):
                break
            folder.rmdir()
