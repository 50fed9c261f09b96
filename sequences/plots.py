"""Figures of integer sequences."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from seqlab.proportion import Proportion, value_of
from seqlab.show.labels import ends_of, label_ends
from seqlab.show.palette import DASHES
from sequences.metrics import NUM_PREFIXES


def by_length(results: Mapping[str, Mapping[str, Proportion | float]]) -> Figure:
    """Accuracy and distance of the next term by the number of terms read: one line for the model and each baseline.

    Args:
        results: name -> results with the names test/accuracy_by_length/1 ... and test/distance_by_length/1 ...
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, metric in zip(axes, ("accuracy", "distance"), strict=True):
        others = [name for name in results if name != "model"]
        for name, rows in results.items():
            points = [(n, rows.get(f"test/{metric}_by_length/{n}")) for n in range(1, NUM_PREFIXES + 1)]
            known = [(n, value_of(result)) for n, result in points if result is not None]
            if known:
                look = {"linewidth": 2.6, "color": "C0", "zorder": 5}
                if name != "model":
                    place = others.index(name)
                    dashes = (0, DASHES[1 + place % (len(DASHES) - 1)])
                    look = {"linewidth": 1.1, "color": f"C{1 + place % 7}", "linestyle": dashes}
                axis.plot(*zip(*known, strict=True), marker=".", label=name, **look)
        axis.set(xlabel="terms read", ylabel=f"{metric} of the next term")
    axes[0].set_ylim(-0.03, 1.03)
    axes[1].set_yscale("symlog", linthresh=1)
    axes[1].set_ylabel("distance of the next term (linear below 1)")
    axes[1].yaxis.set_major_formatter(ScalarFormatter())
    axes[1].set_ylim(bottom=0)
    for axis in axes:
        label_ends(axis, ends_of(axis), height=3.2)
    return figure
