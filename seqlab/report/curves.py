"""metrics.csv of a run: learning curves, and the spread of its last validations."""

import csv
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

Checks = dict[str, list[tuple[int, float]]]  # metric -> (step, value) in order


def read_metrics(path: Path) -> Checks:
    """Every metric of a metrics.csv with its steps."""
    metrics: Checks = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for name, text in row.items():
                if text and name != "epoch":
                    metrics.setdefault(name, []).append((step, float(text)))
    return metrics


def spread_of_last_checks(metrics: Checks, last: int) -> dict[str, dict[str, float]]:
    """Mean, smallest and largest value of each val/ metric over the last checks, and how many there were.

    Rules out of distribution swing from check to check of one converged run: a single check says little.

    >>> spread_of_last_checks({"val/loss": [(9, 1.0), (19, 3.0)]}, last=5)
    {'val/loss': {'mean': 2.0, 'min': 1.0, 'max': 3.0, 'checks': 2}}
    """
    spread: dict[str, dict[str, Any]] = {}
    for name, points in metrics.items():
        if name.startswith("val/"):
            values = [value for _, value in points[-last:]]
            mean = sum(values) / len(values)
            spread[name] = {"mean": mean, "min": min(values), "max": max(values), "checks": len(values)}
    return spread


def learning_curves(metrics: Checks) -> Figure:
    """Loss by step, and a panel of validation metrics by step for each group (id, ood ...)."""
    groups: dict[str, list[str]] = {}
    for name in metrics:
        stage, *group, metric = name.split("/")
        if stage == "val" and group and not group[0].endswith("_finished") and metric != "finished":
            groups.setdefault(group[0], []).append(name)
    figure = Figure(figsize=(4.2 * (1 + len(groups)), 3.6), layout="constrained")
    axes = figure.subplots(1, 1 + len(groups), squeeze=False)[0]
    for name, style in (("train/loss", {"alpha": 0.5}), ("val/loss", {"marker": "."})):
        if name in metrics:
            axes[0].plot(*zip(*metrics[name], strict=True), label=name, **style)
    axes[0].set(title="cross-entropy (nats)", xlabel="step", yscale="log")
    axes[0].legend()
    for axis, (group, names) in zip(axes[1:], groups.items(), strict=True):
        for name in names:
            axis.plot(*zip(*metrics[name], strict=True), marker=".", label=name.rpartition("/")[2])
        axis.set(title=f"validation: {group}", xlabel="step", ylim=(-0.03, 1.03))
        axis.legend(fontsize="small")
    return figure
