"""Dots of the test results of a run, each with its interval, beside chance and the baselines."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seqlab.show.groups import full_name, groups_of
from seqlab.show.palette import MARKERS
from seqlab.show.style import INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, PANEL = 0.27, 0.62  # inches: of a metric, and of what a panel needs besides
LETTERS = 46  # of a metric's name in a line
LETTERS_PER_INCH = 13  # of a title
MOST_ROWS = 26  # of one column of panels


def result_dots(summary: dict[str, Any]) -> "Figure":
    """Plot every metric that is a proportion, at best.ckpt, as a dot with its 95% interval.

    One panel per group (id, ood; "all" for metrics without a group). A dashed line shows chance, and a grey mark each
    baseline. Left out are groups of one case, and those whose metrics are numbers, which are a curve.
    """
    from matplotlib.figure import Figure  # lazy: a run draws once, at its end

    groups = panels_of(summary)
    columns = in_columns([(group, len(metrics)) for group, metrics in groups.items()])
    names = {group: [worded(name, summary.get("meanings", {})) for name in of] for group, of in groups.items()}
    heights = {
        group: ROW * len(of) * (1 + 0.4 * max(map(_lines, of), default=0)) + PANEL for group, of in names.items()
    }
    tall = max(sum(heights[group] for group in column) for column in columns)
    figure = Figure(figsize=(7 * len(columns), tall + 1.0), layout="constrained")
    for column, part in zip(columns, figure.subfigures(1, len(columns), squeeze=False)[0], strict=True):
        axes = part.subplots(len(column), 1, squeeze=False, height_ratios=[heights[group] for group in column])[:, 0]
        for axis, group in zip(axes, column, strict=True):
            _panel(axis, summary, group, groups[group], names[group])
    drawn = {
        label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=min(len(drawn), 6 * len(columns)))
    title = f"{summary['model']} on {summary['description']}"
    figure.suptitle(textwrap.fill(title, int(LETTERS_PER_INCH * figure.get_figwidth())), fontsize="medium")
    return figure


def panels_of(summary: Mapping[str, Any]) -> dict[str, list[str]]:
    """{group: metrics} of what is drawn. If there is nothing else, a group of one case is."""
    proportions = {
        group: chosen
        for group, metrics in groups_of(dict(summary)).items()
        if not group.endswith("_finished")
        and (chosen := [name for name in metrics if full_name("test", group, name) in summary["intervals"]])
        and not all(name.isdecimal() for name in chosen)
    }
    several = {
        group: metrics
        for group, metrics in proportions.items()
        if any(summary["counts"].get(full_name("test", group, name), 2) > 1 for name in metrics)
    }
    return several or proportions or {"": []}


def in_columns(sizes: Sequence[tuple[str, int]]) -> list[list[str]]:
    """Panels in one column, or in two of like height where one would be too tall.

    >>> in_columns([("a", 3), ("b", 4)]), in_columns([("a", 9), ("b", 20), ("c", 9)])
    ([['a', 'b']], [['a', 'b'], ['c']])
    """
    total = sum(size for _, size in sizes)
    if total <= MOST_ROWS or len(sizes) < 2:
        return [[name for name, _ in sizes]]
    columns: list[list[str]] = [[], []]
    before = 0
    for name, size in sizes:
        columns[before >= total / 2].append(name)
        before += size
    return [column for column in columns if column]


def _panel(axis: "Axes", summary: Mapping[str, Any], group: str, metrics: Sequence[str], labels: Sequence[str]) -> None:
    names = [full_name("test", group, metric) for metric in metrics]
    values = [summary["metrics"][name] for name in names]
    baselines = [name for name in summary["baselines"] if name != "chance"]
    for index, baseline in enumerate(baselines):
        rows = summary["baselines"][baseline]
        points = [(rows[name], y) for y, name in enumerate(names) if rows.get(name) is not None]
        if points:
            shift = 0.44 * ((index + 0.5) / len(baselines) - 0.5)  # marks of one value remain visible
            x, y = zip(*((value, place + shift) for value, place in points), strict=True)
            marker = MARKERS[1 + index % (len(MARKERS) - 1)]
            axis.scatter(x, y, marker=marker, s=20, facecolors="none", edgecolors=QUIET,
                         linewidths=0.9, zorder=3, clip_on=False, label=baseline)  # fmt: skip
    chance = summary["baselines"].get("chance", {})
    known = [(value, y) for y, name in enumerate(names) if (value := chance.get(name)) is not None]
    if known:
        x, y = zip(*known, strict=True)
        low, high = ([place + side for place in y] for side in (-0.36, 0.36))
        axis.vlines(x, low, high, colors=INK, linestyles=(0, (3, 1.5)),
                    linewidth=1.2, label="chance", zorder=2)  # fmt: skip
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        if value is not None:
            axis.hlines(place, *summary["intervals"][name], colors="C0", linewidth=2.4, zorder=4)
    dots = [(value, place) for place, value in enumerate(values) if value is not None]
    if dots:
        axis.scatter(
            *zip(*dots, strict=True),
            color="C0",
            s=38,
            zorder=5,
            clip_on=False,
            label=f"{summary['model']}, 95% interval",
        )
    counts = [count for name in names if (count := summary["counts"].get(name)) is not None]
    count = f"n = {min(counts)}{f' to {max(counts)}' if max(counts) > min(counts) else ''}" if counts else ""
    title = summary.get("meanings", {}).get(group, group.replace("_", " ") or "all")
    axis.set_title(f"{title} ({count})")
    axis.set_yticks(range(len(metrics)), labels)
    axis.set(xlim=(0, 1), ylim=(max(len(metrics), 1) - 0.4, -0.6))
    axis.tick_params(axis="y", length=0, labelcolor=INK, pad=9)


def _lines(label: str) -> int:
    return label.count("\n")


def worded(metric: str, meanings: Mapping[str, str]) -> str:
    """The name of a metric, with what it means where that is known."""
    name = metric.replace("_", " ")
    return textwrap.fill(f"{meanings[metric]} ({name})" if metric in meanings else name, LETTERS)
