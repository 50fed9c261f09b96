"""Baselines of a run, kept between runs where a caller says so: they depend on the data and the task alone."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from seqlab.attempts import Attempts
from seqlab.files import at_home, write_json
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
    """The baselines of a task, from the folder of `kept_in` if it has them.

    Those with a failure are not kept, nor those of data or a task that is given a file, whose content may change.

    Args:
        task: it computes them.
        config: of the run, resolved.
    """
    folder = _folder.get()
    if folder is None or _reads_files([config[key] for key in ("data", "task")]):
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
    """A name for what the baselines depend on: data, task, and the sources of SeqLab and of what these come from."""
    nodes = {key: config[key] for key in ("data", "task")}
    sha = hashlib.sha256(json.dumps([version(), nodes], sort_keys=True, default=str).encode())
    packages = {"seqlab"} | {target.partition(".")[0] for target in targets(nodes)}
    for package in sorted(packages):
        for source in _sources(import_module(package)):
            sha.update(source.read_bytes())
    return sha.hexdigest()[:16]


def _sources(module: ModuleType) -> list[Path]:
    """The files of a package, or of a single module."""
    if hasattr(module, "__path__"):
        return [source for place in sorted(module.__path__) for source in sorted(Path(place).rglob("*.py"))]
    return [] if module.__file__ is None else [Path(module.__file__)]


def _reads_files(node: Any) -> bool:
    """Whether a value of a nested configuration names a file or a folder that exists."""
    if isinstance(node, Mapping):
        node = list(node.values())
    if isinstance(node, list):
        return any(map(_reads_files, node))
    return isinstance(node, str) and bool(node) and os.path.exists(at_home(node))


def _plain(row: Results) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, Proportion) else value for name, value in row.items()}


def _read(content: dict[str, dict[str, Any]]) -> dict[str, Results]:
    return {
        baseline: {name: Proportion(*value) if isinstance(value, list) else float(value) for name, value in row.items()}
        for baseline, row in content.items()
    }
