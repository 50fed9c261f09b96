"""Runs at any depth below some folders -> one table, a row for each dataset and model, mean and spread over seeds."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seqlab.report.curves import read_metrics
from seqlab.report.table import number


def summaries(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Every summary.json below the folders, in the order of their paths, each with its folder under "path"."""
    paths = sorted({path for folder in folders for path in folder.rglob("summary.json")})
    return [json.loads(path.read_text()) | {"path": path.parent} for path in paths]


def markdown_table(runs: Sequence[dict[str, Any]]) -> str:
    """Rows data x model; below each dataset the baselines of its first run, through the same metrics.

    A table for each kind of task: runs whose tasks name the same columns stand together. `val loss`, the lowest
    validation loss of each run, is what to choose by among settings; all that follows it is measured on test data.
    """
    tables = []
    for columns in unique(run["columns"] for run in runs):
        headings = ["data", "model", "seeds", "steps", "time", "val loss", *columns]
        lines = [_line(headings), _line("-" * len(headings))]
        of_task = [run for run in runs if run["columns"] == columns]
        for data in unique(run["data"] for run in of_task):
            lines += _rows(data, [run for run in of_task if run["data"] == data], list(columns.values()))
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _rows(data: str, runs: Sequence[dict[str, Any]], metrics: Sequence[str]) -> list[str]:
    lines = []
    for model in unique(run["model"] for run in runs):
        group = [run for run in runs if run["model"] == model]
        steps = "/".join(str(run["steps"]) for run in group)
        minutes = statistics.mean(run["seconds"] for run in group) / 60
        values = [_mean([best_validation(run["path"]) for run in group])]
        values += [_mean([run["metrics"].get(name) for run in group]) for name in metrics]
        seeds = " ".join(str(run["seed"]) for run in group)
        lines.append(_line([data, f"**{model}**", seeds, steps, f"{minutes:.1f} min", *values]))
    for name, rows in runs[0]["baselines"].items():
        lines.append(_line([data, name, "", "", "", "", *(_mean([rows.get(metric)]) for metric in metrics)]))
    return lines


def best_validation(folder: Path) -> float | None:
    """The lowest validation loss in a run's metrics.csv; None where none was logged."""
    file = folder / "metrics.csv"
    checks = read_metrics(file).get("val/loss", []) if file.exists() else []
    return min((value for _, value in checks), default=None)


def unique(values: Iterable[Any]) -> list[Any]:
    """Each value once, in the order of first appearance."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {number(statistics.stdev(known))}" if len(known) > 1 else ""
    return f"{number(statistics.mean(known))}{spread}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
