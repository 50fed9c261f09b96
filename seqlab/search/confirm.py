"""Compares the best values of a study with the defaults, on seeds that the study has not used."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial

from seqlab.run.summary import read_summary
from seqlab.search.plan import Plan
from seqlab.search.study import run_of
from seqlab.show.table import number


@dataclass(frozen=True)
class Comparison:
    """Results of both settings over the same seeds.

    rows: metric -> (values of the default, values of the best), one value per seed.
    faults: failures, one line each; their seeds are left out of both settings.
    """

    rows: dict[str, tuple[list[float], list[float]]]
    faults: list[str]


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial with the lowest value; None if no trial has a value."""
    done = [(trial.value, trial.number, trial) for trial in trials if trial.value is not None]
    return min(done)[2] if done else None  # ties go to the earlier trial


def confirmed(trials: Sequence[FrozenTrial], plan: Plan, folder: Path) -> Comparison | None:
    """Train the default, which is the first trial, and the best again, once for each of the plan's confirm_seeds.

    Returns:
        the plan's metric and the test metrics in the task's columns; None if there is nothing to compare.
    """
    default, best = trials[0], best_of(trials)
    if best is None or best.number == default.number or not plan.confirm_seeds:
        return None
    rows: dict[str, tuple[list[float], list[float]]] = {}
    faults = []
    for seed in plan.confirm_seeds:
        pair: list[dict[str, float | None]] = []
        for name, trial in (("default", default), (f"trial_{best.number:03d}", best)):
            run_dir = folder / "confirm" / f"{name}_seed{seed}"
            outcome = run_of(plan, {**trial.params, "seed": seed}, run_dir)
            said = f"failed: {outcome.reason}" if outcome.value is None else f"{plan.metric} {outcome.value:.4g}"
            print(f"seed {seed}  {name}  {said}", flush=True)
            if outcome.value is None:
                faults.append(f"{name} with seed {seed}: {outcome.reason}")
                break
            pair.append({plan.metric: outcome.value, **_test_metrics(run_dir)})
        if len(pair) == 2:
            for metric in pair[0]:
                before, after = (content.get(metric) for content in pair)
                if before is not None and after is not None:
                    default_side, best_side = rows.setdefault(metric, ([], []))
                    default_side.append(before)
                    best_side.append(after)
    return Comparison(rows, faults)


def _test_metrics(run_dir: Path) -> dict[str, float | None]:
    """The test metrics of a run that the report shows."""
    summary = read_summary(run_dir)
    return {metric: summary["metrics"].get(metric) for metric in summary["columns"].values()}


def mean_and_deviation(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds.

    >>> mean_and_deviation([1.0, 2.0, 3.0]), mean_and_deviation([1.0])
    ('2.000 ± 1.000', '1.000')
    """
    spread = f" ± {number(statistics.stdev(values))}" if len(values) > 1 else ""
    return number(statistics.mean(values)) + spread


def verdict(plan: Plan, rows: dict[str, tuple[list[float], list[float]]]) -> str:
    """A sentence that says on how many seeds the best is lower than the default, and by how much."""
    default, best = rows[plan.metric]
    gains = [before - after for before, after in zip(default, best, strict=True)]
    wins = sum(gain > 0 for gain in gains)
    return (
        f"On {wins} of {len(gains)} new seeds the best has a lower {plan.metric} than the default; "
        f"default - best: {mean_and_deviation(gains)}."
    )
