"""Bar plots of the test results of a run, with markers for chance and the baselines."""

import textwrap
from typing import TYPE_CHECKING, Any

from seqlab.show.groups import full_name, groups_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTERS_PER_INCH = 12  # of a title
MARKERS = "D^vsXP*<>pH8"


def result_bars(summary: dict[str, Any]) -> "Figure":
    """Plot every metric that is a proportion, at best.ckpt, with its 95% interval as an error bar.

    One panel per group (id, ood, sos; "all" for metrics without a group). A dashed line shows chance, and a marker each
    baseline.
    """
    from matplotlib.figure import Figure  # lazy: a run draws once, at its end

    groups = {
        group: proportions
        for group, metrics in groups_of(summary).items()
        if not group.endswith("_finished")
        and (proportions := [metric for metric in metrics if full_name("test", group, metric) in summary["intervals"]])
    }
    num_columns = max(1, min(3, len(groups)))
    num_rows = max(1, -(-len(groups) // num_columns))
    figure = Figure(figsize=(1.2 + 4.3 * num_columns, 4.4 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True).flatten()
    for axis, (group, metrics) in zip(axes, groups.items(), strict=False):
        _panel(axis, summary, group, metrics)
    for axis in axes[len(groups) :]:
        axis.set_axis_off()
    axes[0].set_ylabel("proportion")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")
    title = f"{summary['model']} on {summary['description']}"
    figure.suptitle(textwrap.fill(title, int(LETTERS_PER_INCH * figure.get_figwidth())), fontsize="medium")
    return figure


def _panel(axis: Any, summary: dict[str, Any], group: str, metrics: list[str]) -> None:
    names = [full_name("test", group, metric) for metric in metrics]
    values = [summary["metrics"][name] for name in names]
    places = range(len(names))
    known = [place for place in places if values[place] is not None]
    low = [max(0.0, values[p] - summary["intervals"][names[p]][0]) for p in known]
    high = [max(0.0, summary["intervals"][names[p]][1] - values[p]) for p in known]
    axis.bar(known, [values[p] for p in known], yerr=[low, high], capsize=3, color="#7aa6c2", label=summary["model"])
    for index, (baseline, rows) in enumerate(summary["baselines"].items()):
        points = [(place, rows.get(name)) for place, name in enumerate(names)]
        points = [(place, value) for place, value in points if value is not None]
        if baseline == "chance":
            axis.hlines(
                [value for _, value in points],
                [place - 0.4 for place, _ in points],
                [place + 0.4 for place, _ in points],
                colors="black",
                linestyles="dashed",
                label=baseline,
            )
        elif points:
            shift = 0.1 * (index - len(summary["baselines"]) / 2)
            x, y = zip(*((place + shift, value) for place, value in points), strict=True)
            axis.scatter(x, y, marker=MARKERS[index % len(MARKERS)], s=22, zorder=3, label=baseline)
    counts = [summary["counts"][name] for name in names]
    count = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    axis.set_title(f"{group.replace('_', ' ') or 'all'} (n = {count})")
    labels = [metric.replace("_", " ") for metric in metrics]
    axis.set_xticks(list(places), labels, rotation=30 if len(labels) < 9 else 90, ha="right")
    axis.set_ylim(0, 1.05)
