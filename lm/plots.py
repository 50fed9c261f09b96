"""Figures of language modelling."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from seqlab.lit.module import Results

METRIC = "test/bits_per_character"


def bits_per_character(rows: Mapping[str, Results]) -> Figure:
    """A bar chart of bits per character from {name: results}. The first bar, the model, has its own color."""
    values = {name: value for name, results in rows.items() if isinstance(value := results.get(METRIC), float)}
    figure = Figure(figsize=(7, 0.8 + 0.35 * len(values)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh(list(values), list(values.values()), color=["C1", *["C0"] * (len(values) - 1)])
    axis.bar_label(bars, fmt="%.3f", padding=3)
    axis.set(xlabel="bits per character of the test part (less is better)")
    axis.margins(x=0.12)
    axis.invert_yaxis()
    return figure
