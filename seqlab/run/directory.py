"""A run directory: the paths of its files, its lock, and the status of the run.

status.json holds the status (running, done, interrupted or failed), the reason and the hash of the configuration. The
process that uses the directory holds its lock. The system releases the lock when the process ends in any way, so a run
that is `running` but not locked was killed. Nothing here imports torch.
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
    """The status of a run.

    state: running, done, interrupted or failed; `unknown` without a readable status.json.
    reason: why the run ended, in one line; empty while it runs.
    hash: hash of its configuration.
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
        """The configuration with which the run started, as composed by Hydra."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def overrides(self) -> Path:
        """The command-line overrides with which the run started."""
        return self.path / ".hydra" / "overrides.yaml"

    @property
    def hydra(self) -> Path:
        """Hydra's own node of the configuration."""
        return self.path / ".hydra" / "hydra.yaml"

    @property
    def status(self) -> Path:
        """The status of the run; see `read_status`."""
        return self.path / "status.json"

    @property
    def summary(self) -> Path:
        """The results of the run."""
        return self.path / "summary.json"

    @property
    def metrics(self) -> Path:
        """Every logged metric, with its step."""
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        """The log of the run's processes, with full tracebacks."""
        return self.path / "run.log"

    @property
    def predictions(self) -> Path:
        """The model's outputs on its evaluation inputs."""
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
        """The folder with W&B's own files and links."""
        return self.path / "wandb"

    @property
    def export(self) -> Path:
        """The folder of the exports."""
        return self.path / "export"

    @property
    def folders(self) -> list[Path]:
        """The folders that a run and its export create; none of them contains another run."""
        return [self.config.parent, self.checkpoints, self.plots, self.path / "tensorboard", self.wandb, self.export]

    @property
    def lock(self) -> Path:
        """The lock file, held by the process that uses the directory."""
        return self.path / ".lock"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the lock of the directory.

        Raises:
            InputError: another process holds it.
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
        """Whether a process holds the lock of the directory."""
        if not self.lock.exists():  # do not create a lock file by checking
            return False
        try:
            with self.claimed():
                return False
        except InputError:
            return True

    def is_used(self) -> bool:
        """Whether the directory holds files of a run. (A refused job of a sweep leaves only its status.)"""
        return any(path.exists() for path in (self.config, self.summary, self.checkpoints, self.metrics))

    def is_run(self) -> bool:
        """Whether this is a run directory: it has a summary, a status or a configuration."""
        return any(path.is_file() for path in (self.summary, self.status, self.config))

    def read_status(self) -> Status:
        """Read status.json. Values that are missing or not strings get their defaults."""
        try:
            content = json.loads(self.status.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            content = {}
        known = content if isinstance(content, dict) else {}
        texts = {"state": known.get("status"), "reason": known.get("reason"), "hash": known.get("hash")}
        return Status(**{key: text for key, text in texts.items() if isinstance(text, str)})

    def write_status(self, status: Status) -> None:
        """Write status.json."""
        write_json(self.status, {"status": status.state, "reason": status.reason, "hash": status.hash})

    def remove_if_empty(self) -> None:
        """Remove the directory of a refused job, and then its empty parents below the working directory."""
        if not set(self.path.iterdir()) <= {self.log, self.lock}:
            return
        shutil.rmtree(self.path)
        for folder in self.path.parents:
            if Path.cwd() not in folder.parents or any(folder.iterdir()):
                break
            folder.rmdir()
