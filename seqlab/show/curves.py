"""Reads metrics.csv of a run: learning curves, and the spread of the last validations."""

import csv
import math
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from seqlab.show.labels import ends_of, label_ends
from seqlab.show.palette import DASHES, PALETTE
from seqlab.show.style import log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOTHING: Mapping[str, Any] = MappingProxyType({})

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


def learning_curves(
    metrics: Checks, counts: Mapping[str, int] = NOTHING, meanings: Mapping[str, str] = NOTHING
) -> "Figure":
    """Plot the losses by step, with one panel per group of validation metrics (id, ood ...) or ungrouped metric.

    Args:
        metrics: what was logged.
        counts: the cases of the test metrics; a group of one case is left out.
        meanings: a part of a metric's name -> words.
    """
    from matplotlib.figure import Figure  # lazy: a run draws once, at its end
    from matplotlib.ticker import MaxNLocator

    panels: dict[str, list[str]] = {}
    for name, points in metrics.items():
        stage, *group, metric = name.split("/")
        if stage != "val" or metric in ("loss", "finished") or (group and group[0].endswith("_finished")):
            continue
        if counts.get(f"test/{name.partition('/')[2]}") != 1 and len(points) > 1:
            panels.setdefault(group[0] if group else metric, []).append(name)
    titles = {"loss": [name for name in ("train/loss", "val/loss") if name in metrics], **panels}
    num_columns = min(3, len(titles))
    num_rows = -(-len(titles) // num_columns)
    figure = Figure(figsize=(4.7 * num_columns, 2.9 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False).flatten()
    for axis in axes[len(titles) :]:
        axis.set_axis_off()
    for axis, (title, names) in zip(axes, titles.items(), strict=False):
        losses = title == "loss"
        for place, name in enumerate(names):
            _line(axis, metrics[name], place, len(names), faint=name == "train/loss")
        axis.set_title("loss" if losses else f"validation: {meanings.get(title, title).replace('_', ' ')}")
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if losses:
            log_axis(axis, "y")
        elif all(0 <= value <= 1 for name in names for _, value in metrics[name]):
            axis.set_ylim(-0.03, 1.03)
        if len(names) > 1:
            words = [name.partition("/")[0] if losses else name.rpartition("/")[2] for name in names]
            words = [meanings.get(word, word).replace("_", " ") for word in words]
            label_ends(axis, ends_of(axis, [fill(word, 24) for word in words]))
    return figure


def _line(axis: "Axes", points: Sequence[tuple[int, float]], place: int, number: int, *, faint: bool) -> None:
    """One of several lines: each has its colour and dashes, and later ones are thinner, so that all remain visible."""
    from matplotlib import colormaps

    colour = f"C{place}" if number <= len(PALETTE) else colormaps["cividis"](place / number)
    dashes = DASHES[place % len(DASHES)] if number > 2 else ()
    width = 1.3 + 1.6 * (1 - (place + 1) / number)
    marker = "." if number == 1 and len(points) < 60 else ""
    axis.plot(*zip(*points, strict=True), color=colour, linewidth=0.9 if faint else width, alpha=0.6 if faint else 1,
              linestyle=(0, dashes) if dashes else "-", marker=marker)  # fmt: skip
