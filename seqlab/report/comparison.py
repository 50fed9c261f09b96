"""Figures that compare models over data sets: map and dots of a column, and the curves of the seeds of each model."""

import hashlib
import textwrap
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqlab.errors import InputError, nearest
from seqlab.report.indexed_metrics import indexed_metrics
from seqlab.report.panels import baselines, over_runs
from seqlab.report.rows import Block, Row, Table, meaning_of, models_of, titles, unique
from seqlab.run.config import folder_name, one_name
from seqlab.show.palette import colour_of
from seqlab.show.style import INK
from seqlab.show.table import number

COLORS = colormaps["cividis"]
UNKNOWN = (0.85, 0.85, 0.85, 1.0)
CELL = (0.95, 0.34)  # inches
PANEL = (2.2, 1.7)
PER_LINE = 5


def comparison(tables: Sequence[Table], column: str) -> dict[str, Figure]:
    """The map and the dots of a column, and for each data set one figure for each metric that has an index.

    Raises:
        InputError: no table has the column.
    """
    headings = unique(heading for table in tables for heading in table.columns)
    if column not in headings:
        raise InputError(f"--compare {column}: no such column; {nearest(column, headings)}")
    chosen = [(table.columns[column], block) for table in tables if column in table.columns for block in table.blocks]
    chosen = [(metric, block) for metric, block in chosen if models_of(block)]
    figures = {one_name(column): column_map(column, chosen), one_name(f"{column} dots"): column_dots(column, chosen)}
    blocks = [block for table in tables for block in table.blocks]
    for title, block in zip(titles(blocks), blocks, strict=True):
        for family in indexed_metrics(dict.fromkeys(name for row in models_of(block) for name in row.results[0])):
            name = one_name(f"{block.data} {family}")
            if title != block.data:  # long, and of no more than the characters of a file's name
                digest = hashlib.sha256(title.encode()).hexdigest()[:8]
                name = f"{folder_name(title, digest)}_{one_name(family)}"
            figures[name] = curves_of_seeds(block, family)
    return figures


def column_map(column: str, chosen: Sequence[tuple[str, Block]]) -> Figure:
    """A cell for each model and data set: the mean over seeds and, if seeds differ, the best of them.

    The colour is the way from chance (the lowest row where there is none) to the best row of the data set, baselines
    included; grey where the task does not say whether low or high is better. What was not run, or has no value, is
    blank.
    """
    models = unique(row.label for _, block in chosen for row in models_of(block))
    names = _headings(chosen, 12)
    above = 0.16 * max(name.count("\n") for name in names)
    size = (max(map(len, models)) * 0.085 + 0.2 + CELL[0] * len(chosen), 1.5 + above + CELL[1] * len(models))
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    for x, (metric, block) in enumerate(chosen):
        worst, best = _range(block, metric, block.better.get(metric) == "low")
        for row in models_of(block):
            mean = over_runs(row, metric).mean
            if mean is None:
                continue
            y, color = models.index(row.label), UNKNOWN
            if metric in block.better:
                if best != worst:
                    share = (mean - worst) / (best - worst)
                else:  # nothing is better than chance, or all is equal
                    share = 1.0 if _chance(block, metric) is None else 0.0
                color = COLORS(min(1.0, max(0.0, share)))
            axis.add_patch(_square(x, y, color))
            ink = "black" if sum(color[:3]) > 1.5 else "white"
            text = _cell(row, metric, block.better.get(metric))
            axis.text(x, y, text, ha="center", va="center", fontsize="small", color=ink)
    axis.set(xlim=(-0.5, len(chosen) - 0.5), ylim=(len(models) - 0.5, -0.5))
    axis.set_xticks(range(len(chosen)), names)
    axis.set_yticks(range(len(models)), models)
    axis.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axis.spines[:].set_visible(False)
    axis.grid(False)
    of = "mean over seeds (best seed)" if _several(chosen) else "one seed each"
    note = f"{column}: {of}; from dark, chance, to light, the best row"
    if any(metric not in block.better for metric, block in chosen):
        note += "; grey: nothing says whether low or high is better"
    axis.set_xlabel(textwrap.fill(note, max(30, int(size[0] * 11))), fontsize="small")
    return figure


def _headings(chosen: Sequence[tuple[str, Block]], letters: int) -> list[str]:
    """The data set of each block and, below it, what the column means there, in lines of so many letters."""
    names = titles([block for _, block in chosen])
    parts = [(name, _meaning(metric, block)) for name, (metric, block) in zip(names, chosen, strict=True)]
    return ["\n".join(textwrap.fill(part, letters) for part in both if part) for both in parts]


def _meaning(metric: str, block: Block) -> str:
    return next((text for row in models_of(block) for run in row.runs if (text := meaning_of(run, metric))), "")


def _square(x: int, y: int, color: tuple[float, ...]):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=color, linewidth=0)


def _range(block: Block, metric: str, low: bool) -> tuple[float, float]:
    """The values of a metric at which the colours of a data set begin and end."""
    values = [mean for row in block.rows if (mean := over_runs(row, metric).mean) is not None]
    if not values:
        return 0.0, 0.0
    worst, best = (max(values), min(values)) if low else (min(values), max(values))
    chance = _chance(block, metric)
    return (worst if chance is None else chance), best


def _chance(block: Block, metric: str) -> float | None:
    return next((over_runs(row, metric).mean for row in baselines(block) if row.label == "chance"), None)


def _several(chosen: Sequence[tuple[str, Block]]) -> bool:
    """Whether any model has more than one seed."""
    return any(len(row.results) > 1 for _, block in chosen for row in models_of(block))


def _cell(row: Row, metric: str, better: str | None) -> str:
    """The mean and, if it is known and another one, the best value; of whole numbers one decimal at most."""
    values = [value for result in row.results if (value := result.get(metric)) is not None]
    whole = all(value == round(value) for value in values)
    mean, best = (
        f"{value:.1f}".removesuffix(".0") if whole else number(value).removesuffix(".000")
        for value in (sum(values) / len(values), (min if better == "low" else max)(values))
    )
    return mean if mean == best or better is None else f"{mean} ({best})"


def column_dots(column: str, chosen: Sequence[tuple[str, Block]]) -> Figure:
    """A panel for each data set: each model's mean over seeds as a dot, each seed as a circle, and two vertical lines.

    These are chance, dashed, and the best baseline, dotted and named.
    """
    models = unique(row.label for _, block in chosen for row in models_of(block))
    columns = min(4, len(chosen))
    lines = -(-len(chosen) // columns)
    letters = max(map(len, models))
    size = (letters * 0.075 + columns * 2.3, lines * (1.2 + 0.23 * len(models)) + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for axis, heading, (metric, block) in zip(axes, _headings(chosen, 28), chosen, strict=False):
        for row in models_of(block):
            values = [value for result in row.results if (value := result.get(metric)) is not None]
            y, colour = models.index(row.label), colour_of(row.label)
            if len(values) > 1:
                axis.plot(values, [y] * len(values), "o", color=colour, markerfacecolor="none", markersize=4)
            if values:
                axis.plot(sum(values) / len(values), y, "o", color=colour, markersize=7, clip_on=False)
        for row, look in _marks(block, metric):
            axis.axvline(over_runs(row, metric).mean, color=INK, linewidth=1, linestyle=look, zorder=1)
            if row.label != "chance":
                axis.set_xlabel(f"dotted: {row.label}", fontsize="small")
        axis.set_title(heading, fontsize="small")
        axis.set(ylim=(len(models) - 0.4, -0.6))
        if any(metric in run["intervals"] for row in models_of(block) for run in row.runs):
            axis.set_xlim(-0.02, 1.02)
    for axis in axes[len(chosen) :]:
        axis.set_visible(False)
    axes[0].set_yticks(range(len(models)), models)
    of = "mean over seeds" if _several(chosen) else "one seed each"
    figure.suptitle(f"{column}: {of}, dashed: chance", fontsize="small")
    return figure


def _marks(block: Block, metric: str) -> list[tuple[Row, tuple[int, tuple[int, ...]]]]:
    """Chance and the best other baseline, each with the dashes of its line."""
    known = [row for row in baselines(block) if over_runs(row, metric).mean is not None]
    others = [row for row in known if row.label != "chance" and metric in block.better]
    low = block.better.get(metric) == "low"
    best = sorted(others, key=lambda row: over_runs(row, metric).mean or 0.0, reverse=not low)[:1]
    return [(row, (0, (4, 2))) for row in known if row.label == "chance"] + [(row, (0, (1, 2))) for row in best]


def curves_of_seeds(block: Block, family: str) -> Figure:
    """A panel for each model: an indexed metric, each seed a line, and the dashed line of chance."""
    rows = models_of(block)
    columns = min(PER_LINE, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(columns * PANEL[0], lines * PANEL[1] + 0.5), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
    chance = [row for row in baselines(block) if row.label == "chance"]
    for axis, row in zip(axes, rows, strict=False):
        for others in chance:
            axis.plot(*_points(others, 0, family), linestyle=(0, (3, 1.5)), color=INK, linewidth=0.9)
        for index in range(len(row.results)):
            thin = 0.9 if len(row.results) > 1 else 1.5
            axis.plot(*_points(row, index, family), color=colour_of(row.label), linewidth=thin)
        axis.set_title(row.label, fontsize="small")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    for axis in axes[len(rows) :]:
        axis.set_visible(False)
    if all(0 <= value <= 1 for axis in axes for curve in axis.lines for value in curve.get_ydata()):
        axes[0].set_ylim(-0.03, 1.03)  # shares; the panels share it
    name, _, of = family.rpartition("_by_")
    figure.supxlabel(of or "k", fontsize="small")
    figure.supylabel((name or family).replace("_", " "), fontsize="small")
    figure.suptitle(textwrap.fill(f"{block.data}: {block.description}", 25 * columns), fontsize="small")
    return figure


def _points(row: Row, index: int, family: str) -> tuple[list[int], list[float]]:
    """The index and the values of a metric in one run of a row, where it has values."""
    result = row.results[index]
    metrics = indexed_metrics(result).get(family, {})
    known = [(x, value) for x, name in metrics.items() if (value := result[name]) is not None]
    return [x for x, _ in known], [value for _, value in known]
