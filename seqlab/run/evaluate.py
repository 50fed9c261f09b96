"""Evaluate a trained run: test metrics, then baselines, examples, figures, loggers and the table.

Everything after the test metrics is computed independently, once the metrics are in summary.json. A failure gives a
line on stderr, a reason under `missing` in summary.json and a traceback in run.log. It does not affect the other
results, and the run still counts as done.
"""

import math
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import Trainer
from torch import Tensor

from seqlab.attempts import Attempts, reason
from seqlab.files import write_json, write_jsonl
from seqlab.lit.checkpoints import load_checkpoint
from seqlab.lit.loggers import RunLogger, TensorBoard
from seqlab.proportion import Proportion, value_of
from seqlab.run.baselines import baselines
from seqlab.run.build import Run
from seqlab.run.directory import RunDirectory
from seqlab.run.next_steps import after
from seqlab.show.curves import Checks, learning_curves, read_metrics, spread_of_last_checks
from seqlab.show.dots import result_dots
from seqlab.show.style import house_style, save_figure
from seqlab.show.table import print_table
from seqlab.task import Results
from seqlab.waiting import waiting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LISTED = 4  # metrics that have no finite value


def finish(
    run: Run, trainer: Trainer, summary: dict[str, Any], directory: RunDirectory, *, in_sweep: bool = False
) -> None:
    """Evaluate the best and the last checkpoint, write the metrics, and then add the rest (see `add_extras`).

    A job of a sweep prints nothing: the sweep has a line for it, and its run.log has the table.
    """
    summary["best_step"], results = both_checkpoints(run, trainer, directory, shown=not in_sweep)
    metrics, not_finite = finite(results)
    summary |= {
        "metrics": metrics,
        "intervals": {name: result.interval for name, result in results.items() if isinstance(result, Proportion)},
        "counts": {name: result.trials for name, result in results.items() if isinstance(result, Proportion)},
        "effective": {
            name: result.effective
            for name, result in results.items()
            if isinstance(result, Proportion) and result.effective is not None
        },
        "missing": {"metrics": listed(not_finite)} if not_finite else {},
    }
    write_json(directory.summary, summary)
    tested = {name: row for name, row in results.items() if name.startswith("test/")}
    add_extras(run, trainer, tested, summary, directory, shown=not in_sweep)
    if not in_sweep:
        print(f"run directory: {directory.path}")


def both_checkpoints(run: Run, trainer: Trainer, directory: RunDirectory, *, shown: bool) -> tuple[int, Results]:
    """The step of best.ckpt, and the test results of both checkpoints: `test_last/` and `test/`.

    Where both hold the same weights, these are tested once. The weights of best.ckpt stay loaded.
    """
    best, last = load_checkpoint(directory.best), load_checkpoint(directory.last)
    with waiting(f"testing {directory.last.name}", on_a_pipe=shown):
        tested = evaluate(run, trainer, last)
    results = {key.replace("test/", "test_last/", 1): result for key, result in tested.items()}
    if not same_weights(best["state_dict"], last["state_dict"]):
        with waiting(f"testing {directory.best.name}", on_a_pipe=shown):
            tested = evaluate(run, trainer, best)
    return best["global_step"], results | dict(tested)


def same_weights(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two sets of weights are equal, bit for bit but for the sign of 0; a NaN equals nothing."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def evaluate(run: Run, trainer: Trainer, checkpoint: Mapping[str, Any]) -> Results:
    """Evaluate a checkpoint on the test set, with the trainer's device and precision. Its weights stay loaded."""
    run.module.load_state_dict(checkpoint["state_dict"])
    with as_trained(run, trainer):
        return run.task.evaluate(run.model, "test")


@contextmanager
def as_trained(run: Run, trainer: Trainer) -> Iterator[None]:
    """Inside the block, the model is on the trainer's device and uses its precision; afterwards it is on the CPU."""
    run.model.to(trainer.strategy.root_device)
    try:
        with trainer.precision_plugin.forward_context():
            yield
    finally:
        run.model.cpu()


def add_extras(
    run: Run, trainer: Trainer, results: Results, summary: dict[str, Any], directory: RunDirectory, *, shown: bool
) -> None:
    """Add baselines, examples and figures to the summary and the run directory, print the table, and report gaps.

    Args:
        run: the run, with the tested weights.
        trainer: its trainer, with loggers still open.
        results: the test results.
        summary: has the test metrics; it is extended and written to summary.json again.
        directory: the run directory.
        shown: whether to print the table and what to type next; run.log gets the table in any case.
    """
    extras = Attempts[Any]()
    for logger in trainer.loggers:
        with extras.attempt(f"logger {type(logger).__name__}"):
            logger.save()
    checks: Checks = {}
    with extras.attempt("validations"):
        checks = read_metrics(directory.metrics)
        summary["last_five_checks"] = spread_of_last_checks(checks, last=5)
    with extras.attempt("results over validations"):
        summary["metrics"] |= finite(run.task.concluded(results, checks))[0]
    with waiting("baselines", on_a_pipe=shown):
        beside = add_baselines(run, summary, extras)
    write_json(directory.summary, summary)
    with waiting("predictions", on_a_pipe=shown), extras.attempt("predictions"), as_trained(run, trainer):
        write_jsonl(directory.predictions, run.task.examples(run.model))
    figures, written = Attempts["Figure"](), {}
    with waiting("plots", on_a_pipe=shown), extras.attempt("figures"), house_style(summary["model"]):
        with figures.attempt("learning_curves"):
            figures["learning_curves"] = learning_curves(checks, summary["counts"], summary["meanings"])
        with figures.attempt(f"of {type(run.task).__name__}"), as_trained(run, trainer):
            figures.take(run.task.figures(run.model, results, beside))
            figures.take(run.task.curves(checks))
        if summary["intervals"]:
            with figures.attempt("results"):
                figures["results"] = result_dots(summary)
        written = write_figures(figures, directory.plots)
    extras.errors |= {f"figure {name}": error for name, error in figures.errors.items()}
    numbers = {name: value for name, value in summary["metrics"].items() if value is not None}
    for logger in trainer.loggers:
        with extras.attempt(f"logger {type(logger).__name__}"):
            if isinstance(logger, RunLogger):
                logger.conclude(run.config, numbers, written, trainer.global_step)
            logger.finalize("success")
    summary["missing"] |= {name: reason(error) for name, error in extras.errors.items()}
    write_json(directory.summary, summary)
    with extras.attempt("table"):
        if shown:
            print_table(summary)
        with open(directory.log, "a", encoding="utf-8") as log:
            print_table(summary, log)
    with extras.attempt("next commands"):
        has_board = any(isinstance(logger, TensorBoard) for logger in trainer.loggers)
        for command in after(directory.path, run.task.sample_prompt(), tensorboard=has_board) if shown else ():
            print(f"next: {command}")
    say(summary["missing"], extras.errors, directory, with_traceback=run.config["debug"])


def add_baselines(run: Run, summary: dict[str, Any], extras: Attempts[Any]) -> Mapping[str, Results]:
    """Add the baselines to a summary and return them. A failed baseline has no values; `extras` gets its error."""
    rows = Attempts[Results]()
    with extras.attempt("baselines"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows and nearly singular matrices: handled below
        rows.take(baselines(run.task, run.config))
    tested = [metric for metric in summary["metrics"] if metric.startswith("test/")]
    summary["baselines"], errors = plain_rows(rows, tested)
    extras.errors |= {f"baseline {name}": error for name, error in errors.items()}
    return dict(rows)


def plain_rows(
    rows: Mapping[str, Results], tested: Iterable[str]
) -> tuple[dict[str, dict[str, float | None]], dict[str, Exception]]:
    """Baselines as plain numbers, None for each of `tested` where one failed, and the errors of those with gaps."""
    plain, errors = {}, dict(rows.errors) if isinstance(rows, Attempts) else {}
    for name, results in rows.items():
        plain[name], not_finite = finite(results)
        if not_finite:
            errors[name] = ValueError(listed(not_finite))
    return plain | {name: dict.fromkeys(tested) for name in errors if name not in plain}, errors


def finite(results: Results) -> tuple[dict[str, float | None], dict[str, float]]:
    """Results as plain numbers for JSON (None for missing, NaN and infinite), and the NaN and infinite ones."""
    values = {name: value_of(result) for name, result in results.items()}
    not_finite = {name: value for name, value in values.items() if value is not None and not math.isfinite(value)}
    return values | dict.fromkeys(not_finite), not_finite


def listed(not_finite: Mapping[str, float]) -> str:
    """List the first few metrics with their values.

    >>> listed({"test/mse": math.inf, "test/rmse": math.inf})
    'test/mse is inf, test/rmse is inf'
    """
    more = f" and {len(not_finite) - MOST_LISTED} more" if len(not_finite) > MOST_LISTED else ""
    return ", ".join(f"{metric} is {value}" for metric, value in list(not_finite.items())[:MOST_LISTED]) + more


def write_figures(figures: "Attempts[Figure]", folder: Path) -> dict[str, Path]:
    """Draw each figure to FOLDER/NAME.png and .svg. Returns the PNG of those that could be written, for loggers."""
    written = {}
    for name, figure in figures.items():
        with figures.attempt(name):
            folder.mkdir(exist_ok=True)
            written[name] = save_figure(figure, folder / f"{name}.png")
    return written


def say(
    missing: Mapping[str, str], errors: Mapping[str, Exception], directory: RunDirectory, *, with_traceback: bool
) -> None:
    """Print a line on stderr for each missing item; write full tracebacks to run.log, and to stderr if requested."""
    tell_missing(missing)
    with open(directory.log, "a", encoding="utf-8") as log:
        for name, error in errors.items():
            print(f"{name}:", file=log)
            traceback.print_exception(error, file=log)
            if with_traceback:
                traceback.print_exception(error)


def tell_missing(missing: Mapping[str, str]) -> None:
    """Print a line on stderr for each missing item."""
    for name, why in missing.items():
        print(f"warning: {name} is missing: {why}", file=sys.stderr)
