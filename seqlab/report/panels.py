"""The figures of a block as plain data, which the page draws: dots of a metric, learning curves, indexed metrics."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqlab.report.indexed_metrics import indexed_metrics
from seqlab.report.rows import VALIDATION, Block, Cell, Row, cell, checked, meaning_of
from seqlab.show.palette import colour_of

MOST_ROWS = 8  # models in a figure: those with the lowest validation loss
MOST_POINTS = 120  # of a line
SPAN = 20  # a larger ratio of values gives a logarithmic axis
Panel = dict[str, Any]
Points = list[tuple[float, float]]


def panels_of(block: Block, columns: Mapping[str, str]) -> list[Panel]:
    """All figures of a block.

    A panel has `kind` (dots, lines), `title`, `heading` (the column that it belongs to, or ""), `unit` (whether its
    axis is [0, 1]) and `rows` of `label`, `kind` (model, baseline) and `colour`; dots have `mean`, `low`, `high` and
    `seeds`, lines `mean` and `seeds` as lists of points.

    Args:
        block: rows with the same test data.
        columns: heading -> metric.
    """
    return [*dots(block, columns), *learning(block, columns), *indexed(block)]


def shown(block: Block) -> list[Row]:
    """The models of a block that its figures show, in the block's order."""
    models = [row for row in block.rows if row.runs]
    ranked = sorted(models, key=lambda row: math.inf if (loss := row.cells[VALIDATION].mean) is None else loss)
    chosen = {id(row) for row in ranked[:MOST_ROWS]}
    return [row for row in models if id(row) in chosen]


def dots(block: Block, columns: Mapping[str, str]) -> list[Panel]:
    """A panel for each column: mean over seeds with one standard deviation, or one run with its 95% interval."""
    panels = []
    rows = [*shown(block), *baselines(block)]
    for heading, metric in columns.items():
        marks = [mark for row in rows if (mark := _mark(row, metric)) is not None]
        if not any(mark["kind"] == "model" for mark in marks):
            continue
        words = meaning_of(rows[0].runs[0], metric)
        title = f"{heading}: {words}" if words else heading
        panels.append(
            {"kind": "dots", "heading": heading, "title": title, "unit": _is_proportion(rows, metric), "rows": marks}
        )
    return panels


def _mark(row: Row, metric: str) -> Panel | None:
    known = over_runs(row, metric) if metric != VALIDATION else row.cells[metric]
    if known.mean is None:
        return None
    seeds = [value for result in row.results if (value := result.get(metric)) is not None]
    low, high = (known.mean - known.std, known.mean + known.std) if known.std is not None else (None, None)
    if len(row.runs) == 1 and (interval := row.runs[0]["intervals"].get(metric)):
        low, high = interval
    return _about(row) | {"mean": known.mean, "low": low, "high": high, "seeds": seeds}


def _about(row: Row) -> Panel:
    kind = "model" if row.runs else "chance" if row.label == "chance" else "baseline"
    return {"label": row.label, "kind": kind, "colour": colour_of(row.label) if row.runs else ""}


def _is_proportion(rows: Sequence[Row], metric: str) -> bool:
    return any(metric in run["intervals"] for row in rows for run in row.runs)


def learning(block: Block, columns: Mapping[str, str]) -> list[Panel]:
    """The validation loss and the columns on validation data by step: each seed, and the mean where all have one."""
    rows = shown(block)
    panels = []
    for heading, metric in {"val loss": VALIDATION, **columns}.items():
        name = metric if metric == VALIDATION else checked(metric)
        lines = [_about(row) | row_curve(row, name) for row in rows if any(run["checks"].get(name) for run in row.runs)]
        if name == VALIDATION and metric != VALIDATION:  # `loss` is the validation loss again
            continue
        if max((len(seed) for line in lines for seed in line["seeds"]), default=0) < 2:  # no curve
            continue
        values = [value for line in lines for seed in line["seeds"] for _, value in seed]
        title = "validation loss" if metric == VALIDATION else f"validation: {heading}"
        logarithmic = metric == VALIDATION and 0 < SPAN * min(values) < max(values)
        panels.append({"kind": "lines", "heading": heading, "title": title, "x": "step", "log": logarithmic,
                       "unit": _is_proportion(rows, metric), "rows": lines})  # fmt: skip
    return panels


def row_curve(row: Row, metric: str) -> dict[str, Any]:
    """The points of each seed of a row, and their mean at the steps that all seeds have."""
    runs = [dict(run["checks"].get(metric, [])) for run in row.runs]
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    mean = [(step, sum(run[step] for run in runs) / len(runs)) for step in steps]
    return {"mean": thinned(mean), "seeds": [thinned(list(run.items())) for run in runs]}


def thinned(points: Sequence[Any], most: int = MOST_POINTS) -> list[Any]:
    """At most so many points, evenly spaced, with the first and the last.

    >>> thinned([1, 2, 3, 4, 5], most=3)
    [1, 3, 5]
    """
    if len(points) <= most:
        return list(points)
    return [points[place] for place in np.linspace(0, len(points) - 1, most).round().astype(int).tolist()]


def indexed(block: Block) -> list[Panel]:
    """Each metric that has an index, over it: each seed of the models, and the baselines."""
    rows = [*shown(block), *baselines(block)]
    names = dict.fromkeys(name for row in rows if row.runs for result in row.results for name in result)
    panels = []
    for family, metrics in indexed_metrics(names).items():
        lines = [line for row in rows if (line := _over_index(row, metrics))["mean"]]
        values = [abs(y) for line in lines for _, y in line["mean"]]
        if not values:
            continue
        _, by, of = family.rpartition("by_")
        inside = all(0 <= y <= 1 for line in lines for _, y in line["mean"])
        title = family if by else f"{family}_k"
        panels.append({"kind": "lines", "heading": "", "title": title.replace("_", " "), "unit": inside,
                       "x": of.replace("_", " ") if by else "k", "rows": lines,
                       "log": not inside and max(values) > SPAN * float(np.median(values))})  # fmt: skip
    return panels


def _over_index(row: Row, metrics: Mapping[int, str]) -> Panel:
    mean = [(x, value) for x, metric in metrics.items() if (value := over_runs(row, metric).mean) is not None]
    seeds = [
        [(x, value) for x, metric in metrics.items() if (value := result.get(metric)) is not None]
        for result in row.results
    ]
    return _about(row) | {"mean": mean, "seeds": seeds if row.runs else []}


def over_runs(row: Row, metric: str) -> Cell:
    """Mean and spread of any metric of a row, even one that is not in the table."""
    return cell([result.get(metric) for result in row.results])


def baselines(block: Block) -> list[Row]:
    """The baselines of a block, including chance."""
    return [row for row in block.rows if not row.runs]
