"""Figures of forecasts."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqlab.proportion import Proportion, value_of
from seqlab.show.labels import ends_of, label_ends
from seqlab.show.palette import DASHES
from seqlab.show.style import INK, QUIET

NUM_ORIGINS = 3
NUM_POINTS = 120  # test cases in a figure of one-step forecasts


def styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A line style for each name, with the model highlighted."""
    thin = [name for name in names if name != "model"]
    found: dict[str, dict[str, Any]] = {
        name: {"linewidth": 1.1, "color": f"C{1 + index % 7}", "linestyle": (0, DASHES[1 + index % (len(DASHES) - 1)])}
        for index, name in enumerate(thin)
    }
    return {"model": {"linewidth": 2.2, "color": "C0", "zorder": 5}} | found


def origin_figure(history: np.ndarray, truth: np.ndarray, forecasts: Mapping[str, np.ndarray]) -> Figure:
    """History, true values and forecasts at three origins spread over the test part.

    Args:
        history: (n, T), the windows that the model read.
        truth: (n, H).
        forecasts: name -> (n, H).
    """
    horizon = truth.shape[1]
    shown = history[:, -min(history.shape[1], 3 * horizon) :]
    figure = Figure(figsize=(4.6 * NUM_ORIGINS, 4.2), layout="constrained")
    axes = figure.subplots(1, NUM_ORIGINS)
    steps, look = np.arange(1, horizon + 1), styles(forecasts)
    for axis, origin in zip(axes, np.linspace(0, len(truth) - 1, NUM_ORIGINS).astype(int), strict=True):
        axis.plot(np.arange(-shown.shape[1] + 1, 1), shown[origin], color=QUIET, linewidth=1)
        axis.plot(steps, truth[origin], color=INK, linewidth=2.2, label="truth")
        for name, forecast in forecasts.items():
            axis.plot(steps, forecast[origin], label=name, **look[name])
        axis.set(title=f"test origin {origin + 1} of {len(truth)}", xlabel="steps from the origin")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
    return figure


def one_step_figure(truth: np.ndarray, forecasts: Mapping[str, np.ndarray]) -> Figure:
    """The last test cases, each forecast one step ahead: truth, model and baselines, (n, 1) each."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axis = figure.subplots()
    look = styles(forecasts)
    axis.plot(truth[-NUM_POINTS:, 0], color=INK, linewidth=1.6, label="truth")
    for name, forecast in forecasts.items():
        axis.plot(forecast[-NUM_POINTS:, 0], label=name, **look[name])
    axis.set(xlabel=f"the last {min(NUM_POINTS, len(truth))} of {len(truth)} test cases")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=8)
    return figure


def error_by_horizon(results: Mapping[str, Mapping[str, Proportion | float]], horizon: int) -> Figure:
    """MAE at each step of the forecast: one line for the model and each baseline."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axis = figure.subplots()
    steps, look = range(1, horizon + 1), styles(results)
    for name, rows in results.items():
        errors = np.array([value_of(rows[f"test/mae_by_horizon/{h}"]) for h in steps], dtype=float)
        axis.plot(steps, errors, marker="." if horizon < 40 else "", label=name, **look[name])
    axis.set(xlabel="steps ahead", ylabel="MAE on the test part", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_ends(axis, ends_of(axis), height=3.6)
    return figure
