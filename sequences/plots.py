"""Figures of integer sequences."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from seqlab.proportion import Proportion, value_of
from sequences.metrics import NUM_PREFIXES


def by_length(results: Mapping[str, Mapping[str, Proportion | float]]) -> Figure:
    """Accuracy and distance of the next term by the number of terms read: one line for the model and each baseline.

    Args:
        results: name -> results with the names test/accuracy_by_length/1 ... and test/distance_by_length/1 ...
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, metric in zip(axes, ("accuracy", "distance"), strict=True):
        for name, rows in results.items():
            points = [(n, rows.get(f"test/{metric}_by_length/{n}")) for n in range(1, NUM_PREFIXES + 1)]
            known = [(n, value_of(result)) for n, result in points if result is not None]
            if known:
                style = {"linewidth": 2.5, "color": "black"} if name == "model" else {"alpha": 0.8}
                axis.plot(*zip(*known, strict=True), marker=".", label=name, **style)
        axis.set(xlabel="terms read", ylabel=f"{metric} of the next term")
    axes[0].set_ylim(-0.03, 1.03)
    axes[1].set_yscale("symlog", linthresh=1)
    axes[1].set_ylabel("distance of the next term (linear below 1)")
    axes[1].yaxis.set_major_formatter(ScalarFormatter())
    axes[1].set_ylim(bottom=0)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figure
