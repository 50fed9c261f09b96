"""Reads metrics.csv of a run: learning curves, and the spread of the last validations."""

import csv
import math
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Checks = dict[str, list[tuple[int, float]]]  # metric -> (step, value) in order


def read_metrics(path: Path, names: Container[str] | None = None) -> Checks:
    """Read all metrics of a metrics.csv, or those in `names`, as (step, value) pairs."""
    metrics: Checks = {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, ["step"])
        at_step = header.index("step")
        places = [
            (place, name)
            for place, name in enumerate(header)
            if name not in ("step", "epoch") and (names is None or name in names)
        ]
        for row in rows:
            for place, name in places:
                if place < len(row) and row[place]:
                    metrics.setdefault(name, []).append((int(row[at_step]), float(row[place])))
    return metrics


def spread_of_last_checks(metrics: Checks, last: int) -> dict[str, dict[str, float]]:
    """Mean, minimum and maximum of each val/ metric over the last validations, and their number.

    Metrics with a NaN or infinite value among these are left out. Out-of-distribution metrics fluctuate between
    validations even in a converged run, so a single validation says little.

    >>> spread_of_last_checks({"val/loss": [(9, 1.0), (19, 3.0)]}, last=5)
    {'val/loss': {'mean': 2.0, 'min': 1.0, 'max': 3.0, 'checks': 2}}
    """
    spread: dict[str, dict[str, Any]] = {}
    for name, points in metrics.items():
        values = [value for _, value in points[-last:]]
        if name.startswith("val/") and all(map(math.isfinite, values)):
            mean = sum(values) / len(values)
            spread[name] = {"mean": mean, "min": min(values), "max": max(values), "checks": len(values)}
    return spread


def learning_curves(metrics: Checks) -> "Figure":
    """Plot the losses by step, with one panel per group of validation metrics (id, ood ...) or ungrouped metric."""
    from matplotlib.figure import Figure  # lazy: a run draws once, at its end
    from matplotlib.ticker import LogFormatter

    panels: dict[str, list[str]] = {}
    for name in metrics:
        stage, *group, metric = name.split("/")
        if stage != "val" or metric in ("loss", "finished") or (group and group[0].endswith("_finished")):
            continue
        panels.setdefault(group[0] if group else metric, []).append(name)
    num_columns = min(4, 1 + len(panels))
    num_rows = -(-(1 + len(panels)) // num_columns)
    figure = Figure(figsize=(4.2 * num_columns, 3.6 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False).flatten()
    for axis in axes[1 + len(panels) :]:
        axis.set_axis_off()
    for name, style in (("train/loss", {"alpha": 0.5}), ("val/loss", {"marker": "."})):
        if name in metrics:
            axes[0].plot(*zip(*metrics[name], strict=True), label=name, **style)
    axes[0].set(title="loss", xlabel="step", yscale="log")
    axes[0].yaxis.set_major_formatter(LogFormatter())
    axes[0].yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    axes[0].legend()
    for axis, (title, names) in zip(axes[1:], panels.items(), strict=False):
        for place, name in enumerate(names):
            width = 1.2 + 5 * (1 - (place + 1) / len(names))  # so that lines that coincide remain visible
            label = name.rpartition("/")[2].replace("_", " ")
            axis.plot(*zip(*metrics[name], strict=True), linewidth=width, label=label, marker="." * (len(names) == 1))
        axis.set(title=f"validation: {title.replace('_', ' ')}", xlabel="step")
        if all(0 <= value <= 1 for name in names for _, value in metrics[name]):
            axis.set_ylim(-0.03, 1.03)
        if len(names) > 1:
            axis.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure
