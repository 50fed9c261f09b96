"""Figures of a run on a formal language."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rule_extrapolation.mass import CATEGORIES
from seqlab.show.palette import GREEN, GREY, ORANGE, SKY

COLOURS = {"both_rules": GREEN, "rule_1_only": SKY, "rule_2_only": ORANGE, "neither": GREY}


def mass_over_training(checks: Mapping[str, Sequence[tuple[int, float]]], length: int) -> Figure:
    """The probability of short strings by the rules that they keep, over training, one above the other.

    Args:
        checks: metric -> (step, value); it has val/mass/NAME for each category.
        length: the greatest length of these strings, for the title.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    steps = [step for step, _ in checks[f"val/mass/{CATEGORIES[0]}"]]
    heights = [[value for _, value in checks[f"val/mass/{name}"]] for name in CATEGORIES]
    labels = [name.replace("_", " ") for name in CATEGORIES]
    axes.stackplot(steps, heights, labels=labels, colors=[COLOURS[name] for name in CATEGORIES])
    axes.set(
        title=f"probability of all strings of at most {length} symbols",
        xlabel="step",
        ylabel="probability",
        ylim=(0, 1),
        xlim=(min(steps), max(steps)) if len(steps) > 1 else None,
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)  # in the order of the areas
    return figure
