"""Figures of a factoring run."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqlab.proportion import Proportion, value_of
from seqlab.show.palette import DASHES, MARKERS
from seqlab.show.style import QUIET

Results = Mapping[str, Proportion | float]


def beta_curves(results: Results, baselines: Mapping[str, Results], num_bits: int) -> Figure:
    """beta_k over k: the model with its 95% intervals, beside every baseline; the legend has the order at beta_0."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axis = figure.subplots()
    places = range(num_bits + 1)
    for index, (name, rows) in enumerate(baselines.items()):
        betas = [rows[f"test/beta_{k}"] for k in places]
        look = {"color": QUIET, "marker": MARKERS[index % len(MARKERS)], "linestyle": (0, DASHES[index % len(DASHES)])}
        axis.plot(places, numbers(betas), linewidth=0.9, markerfacecolor="none", label=name, **look)
    betas = [results[f"test/beta_{k}"] for k in places]
    values = numbers(betas)
    bounds = [beta.interval for beta in betas if isinstance(beta, Proportion) and beta.interval]
    errors = [
        [max(0.0, value - low) for value, (low, _) in zip(values, bounds, strict=True)],
        [max(0.0, high - value) for value, (_, high) in zip(values, bounds, strict=True)],
    ]
    axis.errorbar(places, values, yerr=errors, color="C0", marker="o", linewidth=2.2, zorder=5, label="model")
    axis.set(xlabel="k, wrong bits at most", ylabel="beta_k, proportion of test numbers", ylim=(-0.03, 1.03))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    first = {"model": values[0]} | {name: value_of(rows["test/beta_0"]) for name, rows in baselines.items()}
    drawn = sorted(zip(*axis.get_legend_handles_labels(), strict=True), key=lambda item: -(first[item[1]] or 0.0))
    axis.legend(*zip(*drawn, strict=True), loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def numbers(results: Sequence[Proportion | float]) -> list[float]:
    """Results as plain numbers; NaN for a proportion without trials, which a curve leaves out."""
    return [math.nan if (value := value_of(result)) is None else value for result in results]
