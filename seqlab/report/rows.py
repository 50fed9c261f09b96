"""Builds tables from finished runs: rows of data x model (x setting) with mean and spread over seeds, and baselines."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.report.settings import setting_text, settings_of

VALIDATION = "val/loss"  # the lowest of each run, for model selection; all other metrics are on test data
ERRORS = ("loss", "mae", "rmse", "mse", "mase", "perplexity", "bits_per_character", "bits_per_byte", "distance",
          "cross_entropy")  # fmt: skip


LEGEND = "mean ± standard deviation over n seeds; the best of each block in bold; below the models their baselines"


class Cell(NamedTuple):
    """Mean over the n runs that have a metric, with the sample standard deviation or a 95% interval.

    Values are None if there are too few runs.
    """

    mean: float | None
    std: float | None
    n: int
    interval: tuple[float, float] | None = None


@dataclass
class Row:
    """A row of a table: a model in one setting over its seeds, or a baseline over the runs that computed it.

    An effect is the difference of two models (seqlab/report/effects.py).
    """

    kind: str  # model, baseline or effect
    data: str
    label: str  # the model, with the keys in which its settings differ; or the baseline
    model: str
    setting: dict[str, str]
    runs: list[dict[str, Any]]  # one per seed; empty for a baseline or an effect
    n: int
    results: Sequence[Mapping[str, float | None]]  # metric -> value, one mapping per run
    cells: dict[str, Cell]
    best: set[str] = field(default_factory=set)  # the metrics in which no other row of the block is better


@dataclass
class Block:
    """Rows evaluated on the same test data: the models, then the baselines."""

    data: str
    description: str
    better: dict[str, str]  # metric -> low or high; other metrics have no best value
    rows: list[Row]


@dataclass
class Table:
    """Blocks whose tasks have the same columns (heading -> metric)."""

    columns: dict[str, str]
    blocks: list[Block]
    legend: str = LEGEND

    @property
    def rows(self) -> list[Row]:
        """The rows of all blocks."""
        return [row for block in self.blocks for row in block.rows]


class Apart(NamedTuple):
    """A run that is not in the table: it is unfinished, failed, unreadable, or a repetition of another."""

    path: Path
    status: str
    reason: str


def titles(blocks: Sequence[Block]) -> list[str]:
    """The data set of each block; of several with one data set also what their descriptions do not share."""
    parts = [re.split(r"[;,] ", block.description) for block in blocks]
    found: list[str] = []
    for block, own in zip(blocks, parts, strict=True):
        others = [part for other, part in zip(blocks, parts, strict=True) if other.data == block.data]
        apart = ", ".join(part for part in own if any(part not in other for other in others))
        title = block.data if len(others) == 1 else f"{block.data}: {apart or block.description}"
        found.append(f"{title} ({found.count(title) + 1})" if title in found else title)
    return found


def models_of(block: Block) -> list[Row]:
    """Its rows that are no baselines."""
    return [row for row in block.rows if row.runs]


def tables_of(runs: Sequence[dict[str, Any]]) -> list[Table]:
    """Build one table per set of columns, with one block per data set and description."""
    tables = []
    labelled = _rows_of_models(runs)
    for columns in unique(run["columns"] for run in runs):
        metrics = {"val loss": VALIDATION, **columns}
        blocks = []
        places = unique(_place(run) for run in runs if run["columns"] == columns)
        for data, description, _ in places:
            place = (data, description, columns)
            members = [run for run in runs if _place(run) == place]
            rows = [
                _row_of_model(label, setting, chosen, metrics)
                for label, setting, group in labelled
                if (chosen := [run for run in group if _place(run) == place])
            ]
            rows += _rows_of_baselines(members, metrics)
            block = Block(data, description, {**directions(members), VALIDATION: "low"}, rows)
            mark_best(block, list(metrics.values()))
            blocks.append(block)
        tables.append(Table(metrics, blocks))
    return tables


def _place(run: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
    """A key of the block of a run: runs in a block have the same test data and metrics."""
    return run["data"], run["description"], run["columns"]


def _rows_of_models(runs: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, str], list[dict[str, Any]]]]:
    """(label, setting, runs) of each data x model x setting."""
    found = []
    for data, model in unique((run["data"], run["model"]) for run in runs):
        settings = settings_of([run for run in runs if (run["data"], run["model"]) == (data, model)])
        short = [setting_text(setting) for setting, _ in settings]
        for text, (setting, group) in zip(short, settings, strict=True):
            text = text if short.count(text) == 1 else setting_text(setting, paths=True)
            label = f"{model} {text}".rstrip() if len(settings) > 1 else model
            found.append((label, setting or {}, sorted(group, key=lambda run: run["seed"])))
    return found


def _row_of_model(label: str, setting: dict[str, str], runs: list[dict[str, Any]], metrics: Mapping[str, str]) -> Row:
    results = [{**run["metrics"], VALIDATION: best_validation(run)} for run in runs]
    cells = {metric: cell([result.get(metric) for result in results]) for metric in metrics.values()}
    return Row("model", runs[0]["data"], label, runs[0]["model"], setting, runs, len(runs), results, cells)


def _rows_of_baselines(runs: Sequence[dict[str, Any]], metrics: Mapping[str, str]) -> list[Row]:
    """Rows of baselines. Equal results of a baseline in several runs count once, as they are one number.

    They are equal if six digits are, which is what a file of runs keeps.
    """
    rows = []
    for name in unique(name for run in runs for name in run["baselines"]):
        found = [run["baselines"][name] for run in runs if name in run["baselines"]]
        known = [{metric: rounded(value) for metric, value in one.items() if value is not None} for one in found]
        results = unique(known)
        cells = {metric: cell([result.get(metric) for result in results]) for metric in metrics.values()}
        rows.append(Row("baseline", runs[0]["data"], name, name, {}, [], len(results), results, cells))
    return rows


def rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def cell(values: Iterable[float | None]) -> Cell:
    """Mean and spread of the values that are not None.

    >>> cell([1.0, None, 3.0])
    Cell(mean=2.0, std=1.4142135623730951, n=2, interval=None)
    """
    known = [value for value in values if value is not None]
    if not known:
        return Cell(None, None, 0)
    return Cell(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def mark_best(block: Block, metrics: Iterable[str]) -> None:
    """Record in each row the metrics in which its mean is the best of the block. Ties are all marked."""
    for metric in metrics:
        means = [mean for row in block.rows if (mean := row.cells[metric].mean) is not None]
        if metric in block.better and means:
            best = min(means) if block.better[metric] == "low" else max(means)
            for row in block.rows:
                if row.cells[metric].mean == best:
                    row.best.add(metric)


def directions(runs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """metric -> low or high is better, on which all runs that say something agree."""
    said: dict[str, set[str]] = {}
    for run in runs:
        for metric, way in better_of(run).items():
            said.setdefault(metric, set()).add(way)
    return {metric: ways.pop() for metric, ways in said.items() if len(ways) == 1}


def better_of(run: Mapping[str, Any]) -> dict[str, str]:
    """metric -> low or high is better: as stored by the run's task, or guessed from the names for older runs.

    >>> better_of({"columns": {"a": "test/mae", "b": "test/x", "c": "test/y"}, "intervals": {"test/x": [0, 1]}})
    {'test/mae': 'low', 'test/x': 'high'}
    """
    if "better" in run:
        return dict(run["better"])
    found = {}
    for metric in run["columns"].values():
        if metric.endswith(ERRORS):
            found[metric] = "low"
        elif metric in run["intervals"] or metric.endswith("accuracy"):
            found[metric] = "high"
    return found


def best_validation(run: Mapping[str, Any]) -> float | None:
    """The lowest validation loss of a run; None if none was logged."""
    return min((value for _, value in run["checks"].get(VALIDATION, [])), default=None)


def meaning_of(run: Mapping[str, Any], metric: str) -> str:
    """What a metric means on the data of a run, where it does not say so itself.

    A run's own meanings are by the last part of the name; a file of runs has them by the whole name.

    >>> meaning_of({"meanings": {"rule_1": "pairs match"}}, "test/ood/rule_1")
    'pairs match'
    """
    meanings = run.get("meanings", {})
    return meanings.get(metric) or meanings.get(metric.rpartition("/")[2], "")


def checked(metric: str) -> str:
    """The name under which a test metric is logged at validations.

    >>> checked("test/ood/rule_1")
    'val/ood/rule_1'
    """
    return f"val/{metric.partition('/')[2]}"


def unique(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order of first appearance."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
