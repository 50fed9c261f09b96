"""The figure of a problem: scores by length."""

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqlab.show.palette import GREY
from seqlab.show.style import INK
from transduction.metrics import Scored

NAMES = (_, EVERY, WHOLE) = ("last answer right", "answers right", "strings without a mistake")


def by_length(
    lengths: Sequence[int],
    scores: Sequence[Scored | None],
    chance: float,
    max_length: int,
    title: str,
) -> Figure:
    """A panel for each readout: the proportion that is right, by length, with the 95% interval for strings.

    Args:
        lengths: of the test strings.
        scores: at each length; None where the model could not read.
        chance: of one answer, dashed.
        max_length: the longest string of training; what is beyond has a grey ground.
        title: over all panels.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, len(NAMES), sharey=True)
    known = [(length, score) for length, score in zip(lengths, scores, strict=True) if score is not None]
    for index, (axis, name) in enumerate(zip(panels, NAMES, strict=True)):
        points = [(length, score[index]) for length, score in known]
        values = [proportion.value or 0.0 for _, proportion in points]
        where = [length for length, _ in points]
        if name != EVERY and points:
            bounds = [proportion.interval or (0.0, 1.0) for _, proportion in points]
            axis.fill_between(
                where, [low for low, _ in bounds], [high for _, high in bounds], color="C0", alpha=0.2, linewidth=0
            )
        axis.plot(where, values, ".-", color="C0")
        if name != WHOLE:  # where it is next to nothing
            axis.axhline(chance, linestyle=(0, (3, 1.5)), color=INK, linewidth=1)
            axis.text(lengths[-1], chance, "chance ", ha="right", va="bottom", fontsize="small")
        axis.axvspan(max_length, lengths[-1], color=GREY, alpha=0.13, zorder=0, linewidth=0)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set(title=name, xlabel="length", ylim=(-0.03, 1.03), xlim=(lengths[0], lengths[-1]))
    panels[0].set_ylabel("proportion")
    figure.suptitle(textwrap.fill(title, 140), fontsize="medium")
    return figure
