"""Collects the runs at any depth below some folders, and separates those without results to average."""

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seqlab.report.rows import VALIDATION, Apart, checked
from seqlab.report.settings import tried
from seqlab.run.directory import RunDirectory, Status
from seqlab.run.summary import read_summary
from seqlab.run.values import key_of
from seqlab.show.curves import read_metrics

TRAINING = "train/loss"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Collection(NamedTuple):
    """The finished runs, each a summary with "path", "config" (see `read_config`) and "checks", and the other runs."""

    runs: list[dict[str, Any]]
    apart: list[Apart]


def collect(folders: Iterable[Path]) -> Collection:
    """Read every run below the folders. Among runs with equal configuration and seed, only the newest counts."""
    runs, apart = [], []
    for path in run_folders(folders):
        status = RunDirectory(path).read_status()
        run = None
        if status.state in ("done", "unknown"):
            try:
                run = read_run(path)
            except (OSError, ValueError, TypeError, KeyError, RecursionError, csv.Error, yaml.YAMLError) as error:
                apart.append(Apart(path, "unreadable", " ".join(str(error).split()).removeprefix(f"{path}{os.sep}")))
                continue
        if run is not None and run["metrics"]:
            runs.append(run)
        else:
            apart.append(Apart(path, *_unfinished(path, status, run)))
    newest = {_identity(run): run for run in sorted(runs, key=_age)}
    for run in runs:
        counted = newest[_identity(run)]
        if counted is not run:
            apart.append(Apart(run["path"], "repeated", f"{counted['path']} has the same configuration and seed"))
    return Collection([run for run in runs if newest[_identity(run)] is run], apart)


def summaries(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """The finished runs below the folders, ordered by path. Each has its folder under "path"."""
    return collect(folders).runs


def run_folders(folders: Iterable[Path]) -> list[Path]:
    """Every run directory among the given folders and below them."""
    found = []
    for folder in folders:
        for place, below, _ in os.walk(folder):
            directory = RunDirectory(Path(place))
            if directory.is_run():
                found.append(directory.path)
                below[:] = set(below) - {path.name for path in directory.folders}
    return sorted({path.resolve(): path for path in found}.values())


def read_run(path: Path) -> dict[str, Any] | None:
    """Read summary.json with folder, configuration and metrics.csv; None if there is no summary yet.

    A value that is no finite number, which only a damaged file has, is None; such points and intervals are left out.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    directory = RunDirectory(path)
    if not directory.summary.is_file():
        return None
    summary = read_summary(path)
    known = {"columns": {}, "intervals": {}, "seconds": 0.0, "description": summary["data"], "stopped": ""}
    run = {**known, **summary, "path": path, "config": read_config(path), "checks": {}}
    if directory.metrics.is_file():
        names = {TRAINING, VALIDATION, *(checked(metric) for metric in run["columns"].values())}
        checks = _read(directory.metrics, lambda file: read_metrics(file, names))
        run["checks"] = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in checks.items()}
    return run | {
        "metrics": finite(run["metrics"]),
        "baselines": {name: finite(results) for name, results in run["baselines"].items()},
        "intervals": {name: ends for name, ends in run["intervals"].items() if not ends or all(map(is_finite, ends))},
        "seconds": run["seconds"] if is_finite(run["seconds"]) else 0.0,
    }


def is_finite(value: float) -> bool:
    """Whether a number is finite as a float.

    >>> is_finite(1), is_finite(float("nan")), is_finite(10**400)
    (True, False, False)
    """
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def finite(results: Mapping[str, float | None]) -> dict[str, float | None]:
    """Results in which a value that is no finite number is None."""
    return {name: value if value is not None and is_finite(value) else None for name, value in results.items()}


def plots_of(run: dict[str, Any]) -> list[Path]:
    """The figures of a run, PNG and SVG: files in its folder. A link out of it could lead to anything."""
    inside = run["path"].resolve()
    files = [file for file in sorted(RunDirectory(run["path"]).plots.glob("*.*")) if file.suffix in (".png", ".svg")]
    return [file for file in files if file.is_file() and file.resolve().is_relative_to(inside)]


def read_config(path: Path) -> dict[str, str] | None:
    """The configuration of a run as dotted key -> value as a string; None if the run has no configuration file.

    Interpolations are not resolved. trainer.max_steps is the value of the last resume.
    """
    directory = RunDirectory(path)
    if not directory.config.is_file():
        return None
    config = flat(_read(directory.config, _read_yaml))
    if directory.overrides.is_file():
        for text in _read(directory.overrides, _read_yaml) or []:
            if key_of(str(text)) == "trainer.max_steps":
                config["trainer.max_steps"] = str(text).partition("=")[2]
    return config


def flat(node: Any, path: str = "") -> dict[str, str]:
    """Flatten a nested configuration to dotted key -> value as a string.

    >>> flat({"seed": 1, "optimizer": {"lr": 0.001, "betas": [0.9, 0.999]}, "data": {"path": None}})
    {'seed': '1', 'optimizer.lr': '0.001', 'optimizer.betas': '[0.9, 0.999]', 'data.path': 'null'}
    """
    if isinstance(node, dict) and (node or not path):
        return {
            key: value
            for name, below in node.items()
            for key, value in flat(below, f"{path}.{name}".strip(".")).items()
        }
    return {path: node if isinstance(node, str) else json.dumps(node, default=str)}


def _read(file: Path, reader: Any) -> Any:
    try:
        return reader(file)
    except (ValueError, TypeError, KeyError, RecursionError, csv.Error, yaml.YAMLError) as error:
        raise ValueError(f"{file.name} is damaged: {error}") from error


def _read_yaml(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER)


def _unfinished(path: Path, status: Status, run: dict[str, Any] | None) -> tuple[str, str]:
    """The status and the reason of a run without results."""
    if status.state == "running":
        return ("running", "") if _works(path) else ("killed", "")
    if status.state == "unknown":
        return "unfinished", run["stopped"] if run else "no summary.json"
    return status.state, status.reason


def _works(path: Path) -> bool:
    try:
        return RunDirectory(path).in_use()
    except OSError:  # a read-only folder: the lock cannot be tested
        return True


def _identity(run: dict[str, Any]) -> tuple[Any, ...]:
    """A key that is equal for repetitions of a run. Runs without a configuration are never repetitions."""
    if run["config"] is None:
        return (run["path"],)
    return run["data"], run["description"], run["model"], run["seed"], frozenset(tried(run["config"]).items())


def _age(run: dict[str, Any]) -> float:
    return RunDirectory(run["path"]).summary.stat().st_mtime
