"""What a finished run has beside its test metrics: baselines, completions, figures, what loggers are told, the table.

Each is tried by itself, after the metrics are in summary.json. What fails is a line on stderr, a reason under `missing`
in summary.json and a traceback in run.log: it hides nothing else, and the run is done.
"""

import math
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Trainer
from matplotlib.figure import Figure

from seqlab.attempts import Attempts, reason
from seqlab.files import write_json, write_jsonl
from seqlab.lit.loggers import RunLogger
from seqlab.lit.module import Results
from seqlab.run.build import Run
from seqlab.run.directory import RunDirectory
from seqlab.share import value_of
from seqlab.show.bars import result_bars
from seqlab.show.curves import Checks, learning_curves, read_metrics, spread_of_last_checks
from seqlab.show.table import print_table

MOST_LISTED = 4  # metrics that have no finite value


def add_extras(run: Run, trainer: Trainer, summary: dict[str, Any], run_dir: Path) -> None:
    """Add all that can be had to `summary` and to the run directory, print the table, and say what is missing.

    Args:
        run: its task has been tested.
        trainer: that has trained it; its loggers are still open.
        summary: with the test metrics; what is added here is written again to summary.json.
        run_dir: the run directory.
    """
    directory = RunDirectory(run_dir)
    extras = Attempts[Any]()
    for logger in trainer.loggers:
        with extras.attempt(f"logger {type(logger).__name__}"):
            logger.save()
    checks: Checks = {}
    with extras.attempt("validations"):
        checks = read_metrics(directory.metrics)
        summary["last_five_checks"] = spread_of_last_checks(checks, last=5)
    add_baselines(run, summary, extras)
    write_json(directory.summary, summary)
    with extras.attempt("completions"):
        write_jsonl(directory.completions, run.task.examples())
    figures = draw(run, summary, checks, directory.plots, extras)
    numbers = {name: value for name, value in summary["metrics"].items() if value is not None}
    for logger in trainer.loggers:
        with extras.attempt(f"logger {type(logger).__name__}"):
            if isinstance(logger, RunLogger):
                logger.conclude(run.config, numbers, figures, trainer.global_step)
            logger.finalize("success")
    summary["missing"] |= {name: reason(error) for name, error in extras.errors.items()}
    write_json(directory.summary, summary)
    with extras.attempt("table"):
        print_table(summary)
    say(summary["missing"], extras.errors, run_dir, with_traceback=run.config["debug"])


def add_baselines(run: Run, summary: dict[str, Any], extras: Attempts[Any]) -> None:
    """Put the baselines into a summary: one that fails has no value for any metric, and its reason is an extra's."""
    rows = Attempts[Results]()
    with extras.attempt("baselines"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that overflow and matrices that are nearly singular: see below
        rows.take(run.task.baselines())
    run.task.baseline_results = dict(rows)
    for name, results in rows.items():
        summary["baselines"][name], not_finite = finite(results)
        if not_finite:
            rows.errors[name] = ValueError(listed(not_finite))
    tested = [metric for metric in summary["metrics"] if metric.startswith("test/")]
    for name, error in rows.errors.items():
        summary["baselines"].setdefault(name, dict.fromkeys(tested))
        extras.errors[f"baseline {name}"] = error


def finite(results: Results) -> tuple[dict[str, float | None], dict[str, float]]:
    """Results as plain numbers, None where there is none that JSON has; and those that are NaN or infinite."""
    values = {name: value_of(result) for name, result in results.items()}
    not_finite = {name: value for name, value in values.items() if value is not None and not math.isfinite(value)}
    return values | dict.fromkeys(not_finite), not_finite


def listed(not_finite: Mapping[str, float]) -> str:
    """Metrics with their values, the first few of them.

    >>> listed({"test/mse": math.inf, "test/rmse": math.inf})
    'test/mse is inf, test/rmse is inf'
    """
    more = f" and {len(not_finite) - MOST_LISTED} more" if len(not_finite) > MOST_LISTED else ""
    return ", ".join(f"{metric} is {value}" for metric, value in list(not_finite.items())[:MOST_LISTED]) + more


def draw(run: Run, summary: dict[str, Any], checks: Checks, folder: Path, extras: Attempts[Any]) -> dict[str, Figure]:
    """The figures of a run, each written to FOLDER/NAME.png; returns those that could be."""
    figures = Attempts[Figure]()
    with figures.attempt("learning_curves"):
        figures["learning_curves"] = learning_curves(checks)
    with figures.attempt(f"of {type(run.task).__name__}"):
        figures.take(run.task.figures())
    if summary["intervals"]:
        with figures.attempt("results"):
            figures["results"] = result_bars(summary)
    written = {}
    for name, figure in figures.items():
        with figures.attempt(name):
            folder.mkdir(exist_ok=True)
            figure.savefig(folder / f"{name}.png", dpi=120)
            written[name] = figure
    extras.errors |= {f"figure {name}": error for name, error in figures.errors.items()}
    return written


def say(missing: Mapping[str, str], errors: Mapping[str, Exception], run_dir: Path, *, with_traceback: bool) -> None:
    """One line on stderr for each thing that is missing; the whole errors in run.log, and on stderr where asked for."""
    for name, why in missing.items():
        print(f"warning: {name} is missing: {why}", file=sys.stderr)
    with open(RunDirectory(run_dir).log, "a", encoding="utf-8") as log:
        for name, error in errors.items():
            print(f"{name}:", file=log)
            traceback.print_exception(error, file=log)
            if with_traceback:
                traceback.print_exception(error)
