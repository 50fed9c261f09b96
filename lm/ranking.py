"""Metrics of known-item ranking: MRR@10, nDCG@10 and recall, with 95% intervals, in one table."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seqlab.proportion import Proportion, student

NUM_RESAMPLES = 1000
METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of the ranks; each query has one relevant document
    "MRR@10": lambda ranks: np.where(ranks <= 10, 1 / ranks, 0.0),
    "nDCG@10": lambda ranks: np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0),
    "recall@1": lambda ranks: (ranks <= 1).astype(float),
    "recall@10": lambda ranks: (ranks <= 10).astype(float),
    "recall@100": lambda ranks: (ranks <= 100).astype(float),
}


class Estimate(NamedTuple):
    """A mean over queries, and over runs where there are several, its 95% interval, and the mean of each run."""

    value: float
    low: float
    high: float
    by_run: tuple[float, ...]


def ranks(scores: np.ndarray, relevant: Sequence[int]) -> np.ndarray:
    """The rank of each query's document, from 1: (queries,) int64. Of documents with equal scores the first is first.

    Args:
        scores: (queries, documents); higher is better.
        relevant: for each query, the index of its only relevant document.

    >>> ranks(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0]]), [2, 1]).tolist()
    [2, 2]
    """
    of_target = scores[np.arange(len(scores)), relevant][:, None]
    before = np.arange(scores.shape[1]) < np.asarray(relevant)[:, None]
    return 1 + ((scores > of_target) | ((scores == of_target) & before)).sum(1)


def reciprocal(found: np.ndarray) -> np.ndarray:
    """What MRR@10 is the mean of: 1 / rank, or 0 beyond 10, (queries,) float64."""
    return METRICS["MRR@10"](found)


def evaluate(found: np.ndarray) -> dict[str, Estimate]:
    """Each metric of the ranks (runs, queries), with a 95% interval (`interval`)."""
    return {name: _estimate(metric(found), proportion=name.startswith("recall")) for name, metric in METRICS.items()}


def difference(first: np.ndarray, second: np.ndarray) -> Estimate:
    """The mean of paired differences, first less second, with its interval over queries and runs.

    Args:
        first, second: (runs, queries), of the same runs and queries.
    """
    return _estimate(first - second)


def _estimate(values: np.ndarray, *, proportion: bool = False) -> Estimate:
    return Estimate(
        float(values.mean()), *interval(values, proportion=proportion), by_run=tuple(values.mean(1).tolist())
    )


def interval(values: np.ndarray, *, proportion: bool = False) -> tuple[float, float]:
    """The 95% interval of a mean over queries and runs: the wider of two, on each side.

    One is over queries, of their means over runs: Wilson's for a proportion whose runs are equal, else a bootstrap. The
    other is Student's over the means of the runs, where there are several that differ.

    Args:
        values: (runs, queries).
        proportion: whether the values are 0 and 1.
    """
    of_runs, of_queries = values.mean(1), values.mean(0)
    mean, num_runs = float(values.mean()), len(values)
    low, high = bootstrap_interval(of_queries)
    if proportion and (values == values[0]).all():
        wilson = Proportion(int(of_queries.sum()), len(of_queries)).interval
        assert wilson is not None
        low, high = wilson
    half = student(num_runs - 1) * float(of_runs.std(ddof=1)) / num_runs**0.5 if num_runs > 1 else 0.0
    return min(low, mean - half), max(high, mean + half)


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """The 2.5% and 97.5% quantiles of the mean over 1000 bootstrap resamples (Efron 1979), with a fixed seed."""
    rows = np.random.default_rng(0).integers(0, len(values), (NUM_RESAMPLES, len(values)))
    low, high = np.quantile(values[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


def table(title: str, rows: Mapping[str, Mapping[str, Estimate]]) -> str:
    """A Markdown table with one row per ranker and one column per metric."""
    lines = [title, "", f"| ranker | {' | '.join(METRICS)} |", f"| --- |{' --- |' * len(METRICS)}"]
    for name, estimates in rows.items():
        cells = (f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]" for each in estimates.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(pairs: Mapping[str, Estimate]) -> str:
    """A Markdown table of paired differences in MRR@10, one row each; with several runs each run's in a column."""
    several = any(len(each.by_run) > 1 for each in pairs.values())
    lines = [f"| first less second | MRR@10 |{' each run |' * several}", f"| --- | --- |{' --- |' * several}"]
    for name, (value, low, high, by_run) in pairs.items():
        runs = f" {', '.join(f'{run:+.3f}' for run in by_run)} |" * several
        lines.append(f"| {name} | {value:+.3f} [{low:+.3f}, {high:+.3f}] |{runs}")
    return "\n".join(lines)
