"""Metrics of known-item ranking: MRR@10, nDCG@10 and recall, with 95% intervals, in one table."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torchmetrics.functional.retrieval import (
    retrieval_normalized_dcg,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from seqlab.proportion import Proportion

NUM_RESAMPLES = 1000
METRICS = {
    "MRR@10": (retrieval_reciprocal_rank, 10),
    "nDCG@10": (retrieval_normalized_dcg, 10),
    "recall@1": (retrieval_recall, 1),
    "recall@10": (retrieval_recall, 10),
    "recall@100": (retrieval_recall, 100),
}


class Estimate(NamedTuple):
    """A mean over queries and its 95% interval."""

    value: float
    low: float
    high: float


def evaluate(scores: Tensor, relevant: Sequence[int]) -> dict[str, Estimate]:
    """Each metric over all queries, with a 95% interval: Wilson for recall, which is a proportion, else bootstrap.

    Args:
        scores: (queries, documents); higher is better.
        relevant: for each query, the index of its only relevant document.
    """
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for row, place in zip(scores.float(), relevant, strict=True):
        # every metric looks at the 100 best documents at most
        best = row.topk(min(100, len(row)))
        target = best.indices == place
        for name, (metric, top_k) in METRICS.items():
            values[name].append(float(metric(best.values, target, top_k=top_k)) if target.any() else 0.0)
    return {name: _estimate(name, np.array(found)) for name, found in values.items()}


def _estimate(name: str, values: np.ndarray) -> Estimate:
    if name.startswith("recall"):
        interval = Proportion(int(values.sum()), len(values)).interval
        assert interval is not None
        return Estimate(float(values.mean()), *interval)
    return Estimate(float(values.mean()), *bootstrap_interval(values))


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """The 2.5% and 97.5% quantiles of the mean over 1000 bootstrap resamples (Efron 1979), with a fixed seed."""
    rows = np.random.default_rng(0).integers(0, len(values), (NUM_RESAMPLES, len(values)))
    low, high = np.quantile(values[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


def table(title: str, rows: Mapping[str, Mapping[str, Estimate]]) -> str:
    """A Markdown table with one row per ranker and one column per metric."""
    lines = [title, "", f"| ranker | {' | '.join(METRICS)} |", f"| --- |{' --- |' * len(METRICS)}"]
    for name, estimates in rows.items():
        cells = (f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in estimates.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
