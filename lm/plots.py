"""Figures of language modelling."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from seqlab.lit.module import Results
from seqlab.show.style import INK, QUIET

METRIC = "test/bits_per_character"


def bits_per_character(rows: Mapping[str, Results]) -> Figure:
    """Bits per character of {name: results}, a dot with its number each. The first, the model, has its own colour."""
    values = {name: value for name, results in rows.items() if isinstance(value := results.get(METRIC), float)}
    figure = Figure(figsize=(7, 0.8 + 0.35 * len(values)), layout="constrained")
    axis = figure.subplots()
    for place, value in enumerate(values.values()):
        look = {"marker": "o", "color": "C0", "markersize": 8}
        if place:
            look = {"marker": "D", "color": QUIET, "markersize": 5, "markerfacecolor": "none"}
        axis.plot(value, place, **look)
        axis.annotate(f"{value:.3f}", (value, place), (9, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(values)), list(values))
    axis.tick_params(axis="y", length=0, labelcolor=INK)
    axis.set(xlabel="bits per character of the test part (less is better)")
    axis.margins(x=0.1)
    axis.set_ylim(len(values) - 0.5, -0.5)
    return figure
