"""Figures of a factoring run."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from seqlab.proportion import Proportion

Results = Mapping[str, Proportion | float]


def beta_curves(results: Results, baselines: Mapping[str, Results], num_bits: int) -> Figure:
    """beta_k over k: the model with 95% intervals, and every baseline."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axis = figure.subplots()
    places = range(num_bits + 1)
    for name, rows in baselines.items():
        betas = [value_of(rows[f"test/beta_{k}"]) for k in places]
        axis.plot(places, betas, marker=".", alpha=0.6, linewidth=1, label=name)
    own = [results[f"test/beta_{k}"] for k in places]
    values = [value_of(beta) for beta in own]
    bounds = [beta.interval for beta in own if isinstance(beta, Proportion) and beta.interval]
    errors = [
        [max(0.0, value - low) for value, (low, _) in zip(values, bounds, strict=True)],
        [max(0.0, high - value) for value, (_, high) in zip(values, bounds, strict=True)],
    ]
    axis.errorbar(places, values, yerr=errors, color="black", marker="o", capsize=3, linewidth=2, label="model")
    axis.set(xlabel="k, wrong bits at most", ylabel="beta_k, proportion of test numbers", ylim=(-0.03, 1.03))
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def value_of(result: Proportion | float) -> float:
    """A result as a number; NaN for a proportion without trials."""
    value = result.value if isinstance(result, Proportion) else result
    return float("nan") if value is None else float(value)
