"""Draws the figure of the home page from the kept runs of state tracking: python docs/make_figure.py"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqlab.report.indexed_metrics import indexed_metrics
from seqlab.report.runs_file import read_runs
from seqlab.show.labels import ends_of, label_ends
from seqlab.show.palette import DASHES, GREY, colour_of
from seqlab.show.style import INK, house_style, save_figure

DOCS = Path(__file__).parent
RUNS = DOCS / "results" / "transduction" / "state_tracking" / "runs.csv"
SHOWN = {"lstm": "LSTM", "mamba_signed": "Mamba, signed", "mamba": "Mamba", "transformer": "Transformer"}
TRAINED = 40  # the longest string of training


def draw() -> Figure:
    """The proportion of last answers that are right on parity, by the length of the string."""
    runs = {run["model"]: run["metrics"] for run in read_runs(RUNS) if run["data"] == "parity"}
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.axvspan(0, TRAINED, color=GREY, alpha=0.18, linewidth=0)
    axis.text(TRAINED + 4, 0.06, "← lengths of training", fontsize="small")
    for number, (model, name) in enumerate(SHOWN.items()):
        curve = indexed_metrics(runs[model])["right_by_length"]
        known = [(length, runs[model][metric]) for length, metric in curve.items() if runs[model][metric] is not None]
        dashes = (0, DASHES[number]) if DASHES[number] else "-"
        axis.plot(*zip(*known, strict=True), color=colour_of(model), linestyle=dashes, linewidth=2, label=name)
    axis.plot([0, 500], [0.5, 0.5], color=INK, linewidth=1, linestyle=(0, (1, 2)), label="chance")
    axis.set(xlim=(0, 500), ylim=(0, 1.03), xlabel="length of the string", ylabel="parity right")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    label_ends(axis, ends_of(axis), height=3)
    return figure


if __name__ == "__main__":
    with house_style():
        print(save_figure(draw(), DOCS / "parity.png"))
