"""Baselines of a run, kept between runs where a caller says so: they depend on the data and the task alone."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

from seqlab.attempts import Attempts
from seqlab.files import write_json
from seqlab.lit.checkpoints import version
from seqlab.proportion import Proportion
from seqlab.run.forks import targets
from seqlab.task import Results, Task

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Inside the block, baselines are kept in a folder, and those that it has are not computed again."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def baselines(task: Task, config: Mapping[str, Any]) -> Attempts[Results]:
    """The baselines of a task, from the folder of `kept_in` if it has them. Those with a failure are not kept.

    Args:
        task: it computes them.
        config: of the run, resolved.
    """
    folder = _folder.get()
    if folder is None:
        rows = Attempts[Results]()
        rows.take(task.baselines())
        return rows
    file = folder / f"{_digest(config)}.json"
    with suppress(OSError, ValueError, TypeError, AttributeError):  # absent or damaged: computed again
        rows = Attempts[Results]()
        rows.update(_read(json.loads(file.read_text(encoding="utf-8"))))
        return rows
    rows = Attempts[Results]()
    rows.take(task.baselines())
    if not rows.errors:
        with suppress(OSError, ValueError):  # ValueError: not finite, which the file cannot hold
            folder.mkdir(parents=True, exist_ok=True)
            write_json(file, {name: _plain(row) for name, row in rows.items()})
    return rows


def _digest(config: Mapping[str, Any]) -> str:
    """A name for what the baselines depend on: data, task, and the sources of the packages that these come from."""
    nodes = {key: config[key] for key in ("data", "task")}
    sha = hashlib.sha256(json.dumps([version(), nodes], sort_keys=True, default=str).encode())
    packages = {target.partition(".")[0] for target in targets(nodes)}
    for package in sorted(packages):
        for place in sorted(getattr(import_module(package), "__path__", ())):
            for source in sorted(Path(place).rglob("*.py")):
                sha.update(source.read_bytes())
    return sha.hexdigest()[:16]


def _plain(row: Results) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, Proportion) else value for name, value in row.items()}


def _read(content: dict[str, dict[str, Any]]) -> dict[str, Results]:
    return {
        baseline: {name: Proportion(*value) if isinstance(value, list) else float(value) for name, value in row.items()}
        for baseline, row in content.items()
    }
