"""Figures of a run on a formal language."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from rule_extrapolation.mass import CATEGORIES

COLOURS = {"both_rules": "C2", "rule_1_only": "C0", "rule_2_only": "C1", "neither": "C3"}


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
    axes.stackplot(steps, heights, labels=labels, colors=[COLOURS[name] for name in CATEGORIES], alpha=0.85)
    axes.set(
        title=f"probability of all strings of at most {length} symbols",
        xlabel="step",
        ylabel="probability",
        ylim=(0, 1),
        xlim=(min(steps), max(steps)) if len(steps) > 1 else None,
    )
    axes.legend(loc="upper right", fontsize="small")
    return figure
