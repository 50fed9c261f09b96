"""Figures of a block: learning curves with a band over seeds, bars of proportions, curves of indexed metrics."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seqlab.report.indexed_metrics import indexed_metrics
from seqlab.report.rows import VALIDATION, Block, Cell, Row, cell, checked, unique
from seqlab.show.bars import MARKERS
from seqlab.show.groups import full_name, groups_of

MOST_ROWS = 8  # models in a figure: those with the lowest validation loss
MOST_CURVES = 4  # panels of learning curves
MANY = 7  # from this number on, labels of an x axis are vertical
SPAN = 20  # a larger ratio of values gives a logarithmic axis
PANEL = (3.1, 2.5)  # inches
GAP = 0.55  # beside a panel, for the labels of its y axis
TITLE = 0.35
Points = list[tuple[int, float, float]]  # (x, mean, standard deviation)


def shown(block: Block) -> list[Row]:
    """The models of a block that its figures show, in the block's order."""
    models = [row for row in block.rows if row.runs]
    ranked = sorted(models, key=lambda row: math.inf if (loss := row.cells[VALIDATION].mean) is None else loss)
    chosen = {id(row) for row in ranked[:MOST_ROWS]}
    return [row for row in models if id(row) in chosen]


def learning(block: Block, columns: Mapping[str, str]) -> Figure | None:
    """Plot the validation loss and the table's metrics on validation data by step; None if no run logged any.

    Mean and standard deviation over seeds, at the steps that all seeds of a row have.
    """
    rows = shown(block)
    metrics = {"validation loss": VALIDATION} | {
        f"validation: {heading}": checked(metric) for heading, metric in columns.items() if metric != VALIDATION
    }
    headings = {metric: heading for heading, metric in reversed(metrics.items())}  # `loss` is the validation loss again
    found = {metric: [row_curve(row, metric) for row in rows] for metric in headings}
    panels = [metric for metric in unique(metrics.values()) if any(found[metric])][:MOST_CURVES]
    if not panels:
        return None

    def draw(axis: Any, metric: str) -> None:
        for index, (row, points) in enumerate(zip(rows, found[metric], strict=True)):
            line(axis, points, row.label, index)
        axis.set(title=headings[metric], xlabel="step")
        means = [mean for points in found[metric] for _, mean, _ in points]
        if metric == VALIDATION and 0 < SPAN * min(means) < max(means):
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")

    return grid(block, panels, draw)


def row_curve(row: Row, metric: str) -> Points:
    """Mean and standard deviation of a validation metric at the steps that all runs of a row have."""
    runs = [dict(run["checks"].get(metric, [])) for run in row.runs]
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    values = np.array([[run[step] for step in steps] for run in runs])
    spread = values.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(steps))
    return list(zip(steps, values.mean(0).tolist(), spread.tolist(), strict=True))


def curves(block: Block) -> Figure | None:
    """Plot each indexed metric over its index, or None: models with a band over seeds, baselines dashed."""
    rows = shown(block)
    names = dict.fromkeys(name for row in rows for result in row.results for name in result)
    panels = list(indexed_metrics(names).items())
    if not panels:
        return None

    def draw(axis: Any, panel: tuple[str, dict[int, str]]) -> None:
        family, metrics = panel
        for index, row in enumerate(baselines(block)):
            points = [(x, mean) for x, mean, _ in along(row, metrics)]
            if points:
                color = "black" if row.label == "chance" else "gray"
                marker = "" if row.label == "chance" else MARKERS[index % len(MARKERS)]
                axis.plot(*zip(*points, strict=True), "--", color=color, marker=marker, markersize=4, linewidth=1,
                          alpha=0.7, label=row.label)  # fmt: skip
        for index, row in enumerate(rows):
            line(axis, along(row, metrics), row.label, index)
        values = np.concatenate([curve.get_ydata() for curve in axis.lines])
        _, by, of = family.rpartition("by_")
        title = family if by else f"{family}_k"
        axis.set(title=title.replace("_", " "), xlabel=of.replace("_", " ") if by else "k")
        axis.set_xticks(list(metrics)[:: -(-len(metrics) // 12)])
        if values.min() >= 0 and values.max() <= 1:
            axis.set_ylim(-0.03, 1.03)
        elif values.max() > SPAN * abs(np.median(values)):
            axis.set_yscale("symlog", linthresh=1)

    return grid(block, panels, draw)


def along(row: Row, metrics: Mapping[int, str]) -> Points:
    """The points of an indexed metric of a row, where it has values."""
    cells = [(x, over_runs(row, metric)) for x, metric in metrics.items()]
    return [(x, mean, std or 0.0) for x, (mean, std, *_) in cells if mean is not None]


def over_runs(row: Row, metric: str) -> Cell:
    """Mean and spread of any metric of a row, even one that is not in the table."""
    return cell([result.get(metric) for result in row.results])


def baselines(block: Block) -> list[Row]:
    """The baselines of a block, including chance."""
    return [row for row in block.rows if not row.runs]


def bars(block: Block) -> Figure | None:
    """Plot every metric that is a proportion, with one bar per model and its standard deviation over seeds.

    One panel per group (id, ood ...). A dashed line shows chance, and a marker each other baseline. None if no metric
    is a proportion.
    """
    rows = shown(block)
    first = rows[0].runs[0]
    curved = {name for metrics in indexed_metrics(first["metrics"]).values() for name in metrics.values()}
    panels = [
        (group, names)
        for group, metrics in groups_of(first).items()
        if not group.endswith("_finished")
        and (
            names := [
                name
                for metric in metrics
                if (name := full_name("test", group, metric)) in first["intervals"] and name not in curved
            ]
        )
    ]
    if not panels:
        return None

    def draw(axis: Any, panel: tuple[str, list[str]]) -> None:
        group, names = panel
        width = 0.8 / len(rows)
        for index, row in enumerate(rows):
            cells = [(place, over_runs(row, name)) for place, name in enumerate(names)]
            known = [(place, mean, std or 0.0) for place, (mean, std, *_) in cells if mean is not None]
            places = [place - 0.4 + (index + 0.5) * width for place, _, _ in known]
            means, spread = [mean for _, mean, _ in known], [std for _, _, std in known]
            style = {"color": f"C{index}", "alpha": 0.75, "error_kw": {"elinewidth": 0.8}}
            axis.bar(places, means, width, yerr=spread if any(spread) else None, label=row.label, **style)
        others = baselines(block)
        for index, row in enumerate(others):
            points = [(x, mean) for x, name in enumerate(names) if (mean := over_runs(row, name).mean) is not None]
            if not points:
                continue
            x, y = zip(*points, strict=True)
            if row.label == "chance":
                axis.hlines(y, [p - 0.45 for p in x], [p + 0.45 for p in x], colors="black", linestyles="dashed",
                            label="chance")  # fmt: skip
            else:
                shift = 0.8 * ((index + 0.5) / len(others) - 0.5)
                axis.scatter([p + shift for p in x], y, marker=MARKERS[index % len(MARKERS)], s=16, color="dimgray",
                             zorder=3, label=row.label)  # fmt: skip
        labels = [name.rpartition("/")[2].replace("_", " ") for name in names]
        slant = {"rotation": 30, "ha": "right"} if len(names) < MANY else {"rotation": 90}
        axis.set_xticks(range(len(names)), labels, **slant)
        axis.set(title=group.replace("_", " ") or "all", ylim=(0, 1.05))

    below = max(
        len(name.rpartition("/")[2]) * (0.035 if len(names) < MANY else 0.065) for _, names in panels for name in names
    )
    return grid(block, panels, draw, below=0.25 + below)


def line(axis: Any, points: Points, label: str, index: int) -> None:
    """Plot a mean with a band of one standard deviation."""
    if not points:
        return
    x, mean, std = zip(*points, strict=True)
    axis.plot(x, mean, color=f"C{index}", marker=".", label=label)
    if any(std):
        low, high = zip(*((m - s, m + s) for m, s in zip(mean, std, strict=True)), strict=True)
        axis.fill_between(x, low, high, color=f"C{index}", alpha=0.2, linewidth=0)


def grid(block: Block, panels: Sequence[Any], draw: Callable[[Any, Any], None], below: float = 0.5) -> Figure:
    """Draw panels side by side, up to four per row, with one legend below in the order of the block's rows.

    Positions are computed here, in inches, because a layout engine that measures every text takes longer than drawing.

    Args:
        block: the block whose rows the panels show.
        panels: the content of each panel.
        draw: (axis, panel) -> draws the panel.
        below: space for the labels of an x axis, in inches.
    """
    num_columns = min(4, len(panels))
    num_rows = -(-len(panels) // num_columns)
    width = GAP + max(2, num_columns) * (PANEL[0] + GAP)  # at least two columns wide, for the legend
    figure = Figure()
    axes = [figure.add_axes((0, 0, 1, 1), label=str(index)) for index in range(len(panels))]
    for axis, panel in zip(axes, panels, strict=True):
        draw(axis, panel)
    drawn = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    room = int(11 * width)  # characters in a line of the legend
    named = {textwrap.fill(row.label, room): drawn[row.label] for row in block.rows if row.label in drawn}
    per_line = max(1, room // (max((len(label) for label in named), default=1) + 8))
    lines = -(-len(named) // per_line) + sum(label.count("\n") for label in named)
    height = 0.3 + 0.2 * lines + num_rows * (PANEL[1] + TITLE + below)
    figure.set_size_inches(width, height)
    for index, axis in enumerate(axes):
        left = GAP + index % num_columns * (PANEL[0] + GAP)
        bottom = height - (index // num_columns + 1) * (PANEL[1] + TITLE + below) + below
        axis.set_position((left / width, bottom / height, PANEL[0] / width, PANEL[1] / height))
        axis.set_title(axis.get_title(), fontsize="medium", y=1.0)  # an explicit y avoids measuring texts
        axis.tick_params(which="both", labelsize="small")
    figure.legend(
        list(named.values()), list(named), loc="lower center", fontsize="small", ncols=per_line, frameon=False
    )
    return figure
