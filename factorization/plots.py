"""Figures of a factoring run."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from seqlab.proportion import Proportion, value_of

Results = Mapping[str, Proportion | float]


def beta_curves(results: Results, baselines: Mapping[str, Results], num_bits: int) -> Figure:
    """beta_k over k: the model with its 95% intervals, beside every baseline."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axis = figure.subplots()
    places = range(num_bits + 1)
    for name, rows in baselines.items():
        betas = [rows[f"test/beta_{k}"] for k in places]
        axis.plot(places, numbers(betas), marker=".", alpha=0.6, linewidth=1, label=name)
    betas = [results[f"test/beta_{k}"] for k in places]
    values = numbers(betas)
    bounds = [beta.interval for beta in betas if isinstance(beta, Proportion) and beta.interval]
    errors = [
        [max(0.0, value - low) for value, (low, _) in zip(values, bounds, strict=True)],
        [max(0.0, high - value) for value, (_, high) in zip(values, bounds, strict=True)],
    ]
    axis.errorbar(places, values, yerr=errors, color="black", marker="o", capsize=3, linewidth=2, label="model")
    axis.set(xlabel="k, wrong bits at most", ylabel="beta_k, proportion of test numbers", ylim=(-0.03, 1.03))
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def numbers(results: Sequence[Proportion | float]) -> list[float]:
    """Results as plain numbers; NaN for a proportion without trials, which a curve leaves out."""
    return [math.nan if (value := value_of(result)) is None else value for result in results]
