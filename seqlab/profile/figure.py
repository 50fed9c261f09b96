"""The figures of a profile: the map of all models over all measures, and curves over lengths."""

import textwrap
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from seqlab.profile.scores import Mean
from seqlab.profile.standing import Standing
from seqlab.profile.suite import Suite
from seqlab.profile.table import between, two
from seqlab.show.palette import DASHES, MARKERS, colour_of
from seqlab.show.style import QUIET

COLORS = colormaps["cividis"]
BALANCE = 0.179  # the luminance on which black and white have the same contrast
CELL = (0.98, 0.46)  # inches
PANEL = (3.4, 2.3)
PER_LINE = 3
LEGEND = 4  # models in a line of it


def color_of(mean: Mean) -> tuple[tuple[float, ...], str]:
    """The colour of a cell, from 0 (dark) to 1 (light), and that of the ink on it, with a contrast of 4.5 or more."""
    color = COLORS(min(1.0, max(0.0, mean.value)))
    return color, "black" if luminance(color) > BALANCE else "white"


def luminance(color: tuple[float, ...]) -> float:
    """The relative luminance of a colour of sRGB, 0 to 1 (WCAG 2.2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def heat_map(shown: Sequence[Standing], name: str, suite: Suite) -> Figure:
    """Models by measures: score and interval in each cell; a cell without a score is blank."""
    columns = suite.measures
    names = [standing.name if standing.origin != "here" else f"{standing.name} (here)" for standing in shown]
    width = max(map(len, names), default=5) * 0.085 + 0.3 + CELL[0] * len(columns)
    figure = Figure(figsize=(width, 1.9 + CELL[1] * len(shown)), layout="constrained")
    axis = figure.subplots()
    partial = False
    for y, standing in enumerate(shown):
        for x, (cell, measure) in enumerate(columns):
            mean = standing.scores.get((cell, measure.metric))
            if mean is None:
                axis.text(x, y, "-", ha="center", va="center", color=QUIET)
                continue
            color, ink = color_of(mean)
            axis.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=color, linewidth=0))
            lacking = standing.fewer((cell, measure.metric), suite.seeds)
            partial |= bool(lacking)
            text = two(mean.value) + "*" * bool(lacking)
            axis.text(x, y - 0.14, text, ha="center", va="center", fontsize="small", color=ink)
            axis.text(x, y + 0.24, between(mean), ha="center", va="center", fontsize="xx-small", color=ink)
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(shown) - 0.5, -0.5))
    headings = [f"{measure.ability}:\n{textwrap.fill(measure.name or cell, 13)}" for cell, measure in columns]
    axis.set_xticks(range(len(columns)), headings, fontsize="small")
    axis.set_yticks(range(len(shown)), names)
    axis.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axis.spines[:].set_visible(False)
    axis.grid(False)
    note = (
        f"Suite {name} {suite.version}. 0, dark: the best shortcut or chance; 1, light: the optimum; "
        f"small: the 95% interval. {suite.parameters:,} parameters, {suite.counted_seeds}."
        f"{' *: fewer seeds.' * partial}"
    )
    axis.set_xlabel(textwrap.fill(note, max(40, int(width * 12))), fontsize="small")
    return figure


def curves(shown: Sequence[Standing], suite: Suite) -> Figure | None:
    """For each cell with a curve a panel: the metric over its number, a line for each model, of its first seed.

    Models of one colour differ by their marks, and from fifteen models on by their dashes.
    """
    cells = [cell for cell in suite.cells if any(standing.curves(cell) for standing in shown)]
    if not cells:
        return None
    lines = -(-len(cells) // PER_LINE)
    height = lines * PANEL[1] + 0.5 + 0.2 * -(-len(shown) // LEGEND)
    figure = Figure(figsize=(PER_LINE * PANEL[0], height), layout="constrained")
    axes = figure.subplots(lines, PER_LINE, squeeze=False).flatten()
    known = {}
    for axis, cell in zip(axes, cells, strict=False):
        for place, standing in enumerate(shown):
            for points in standing.curves(cell)[:1]:
                xs, ys = zip(*points, strict=True)
                turn, mark = divmod(place, len(MARKERS))
                style = {"color": colour_of(standing.label), "marker": MARKERS[mark], "markersize": 3, "linewidth": 1}
                (line,) = axis.plot(xs, ys, label=standing.name, **style)
                if dashes := DASHES[turn % len(DASHES)]:
                    line.set_dashes(dashes)
                known.setdefault(standing.name, line)
        axis.set_title(cell, fontsize="small")
        axis.set_ylim(-0.03, 1.03)
        axis.tick_params(labelsize="x-small")
        axis.set_xlabel(
            (suite.cells[cell].curve.rpartition("_by_")[2] or "number").replace("_", " "), fontsize="x-small"
        )
    for axis in axes[len(cells) :]:
        axis.set_visible(False)
    figure.legend([*known.values()], [*known], loc="outside lower center", ncols=LEGEND, fontsize="x-small")
    return figure
