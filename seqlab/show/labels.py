"""Labels where lines end, in place of a legend."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 10.5  # points, of a line of a label


class End(NamedTuple):
    """Where a line ends, and what it is called."""

    x: float
    y: float
    label: str
    colour: Any


def ends_of(axis: "Axes", labels: Sequence[str] | None = None) -> list[End]:
    """The ends of the lines of an axis, with these labels or their own; without lines that end at no number."""
    found = []
    for line, label in zip(axis.lines, labels or [str(line.get_label()) for line in axis.lines], strict=True):
        x, y = (float(np.asarray(data, dtype=float)[-1]) for data in line.get_data())
        if np.isfinite(y):
            found.append(End(x, y, label, line.get_color()))
    return found


def label_ends(axis: "Axes", ends: Sequence[End], height: float = 2.1) -> None:
    """Write each label to the right of the axis, at the height where its line ends; near ones are moved apart.

    Call it when the limits of the axis are final.

    Args:
        axis: has the lines.
        ends: their ends, in data coordinates.
        height: of the axis, in inches, about.
    """
    from matplotlib.lines import Line2D  # lazy: a run draws once, at its end

    axis.autoscale_view()  # else the transformation to places is that of an empty axis
    points = axis.transAxes.inverted().transform(axis.transData.transform([(end.x, end.y) for end in ends]))
    order = np.argsort(points[:, 1], kind="stable")
    room = [(ends[place].label.count("\n") + 1) * LINE / 72 / height for place in order]
    for place, at in zip(order, apart(points[order, 1].tolist(), room), strict=True):
        (x, y), end = points[place], ends[place]
        leader = Line2D([x, 1.05], [y, at], color=end.colour, linewidth=0.6, transform=axis.transAxes, clip_on=False)
        leader.set_in_layout(False)
        axis.add_artist(leader)
        axis.text(1.06, at, end.label, transform=axis.transAxes, color=end.colour, fontsize="small", va="center",
                  linespacing=0.95)  # fmt: skip


def apart(heights: Sequence[float], room: Sequence[float]) -> list[float]:
    """Heights in order, moved as little as least squares allow, so that no two labels overlap.

    Args:
        heights: where the labels should be, ascending.
        room: the height of each label.

    >>> [round(height, 2) for height in apart([0.5, 0.5, 0.9], [0.1, 0.1, 0.1])]
    [0.45, 0.55, 0.9]
    """
    needed = np.cumsum([0.0, *((low + high) / 2 for low, high in pairwise(room))])
    groups: list[list[float]] = []  # heights less the room of the labels below; each group is moved to its mean
    for height, below in zip(heights, needed, strict=True):
        groups.append([height - below])
        while len(groups) > 1 and np.mean(groups[-2]) >= np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [float(np.mean(group) + below) for group, below in zip((g for g in groups for _ in g), needed, strict=True)]
