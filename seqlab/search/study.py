"""The trials of a study: chooses values, trains a run for each trial, and stores the results in SQLite.

A trial is stored once it has ended. Its values are a function of the plan's seed, its number and the previous trials.
So an interrupted study chooses the same values again, and resumes the run in the trial's directory.
"""

import math
import signal
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from seqlab.errors import InputError, Interrupted, nearest
from seqlab.run.directory import RunDirectory
from seqlab.run.launch import TRAIN, waited_for
from seqlab.run.values import placed
from seqlab.search.plan import Plan, Range, Scalar
from seqlab.show.curves import read_metrics

NUM_RANDOM = 5  # random trials before the sampler starts to model the results
BAD_INPUT = 2

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    value: the lowest value of the metric; None if the run failed.
    reason: why the run failed.
    """

    value: float | None
    reason: str = ""


def stored(folder: Path, name: str) -> optuna.Study:
    """Load the study in a folder, or create it. Raises InputError like `storage`."""
    file = (folder / "study.db").resolve()
    # a path in a URL would need escaping, by rules that differ between versions of SQLAlchemy
    here = {"creator": lambda: sqlite3.connect(file), "poolclass": sqlalchemy.pool.NullPool}
    try:
        with storage(folder):
            opened = optuna.storages.RDBStorage("sqlite://", engine_kwargs=here)
            return optuna.create_study(storage=opened, study_name=name, direction="minimize", load_if_exists=True)
    except RuntimeError as error:  # Optuna's, about the version of its tables
        raise InputError(f"{file}: {error}") from error


@contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Convert database errors in code that reads or writes the study in a folder.

    Raises:
        InputError: another program has locked study.db, or it is not a database.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(cause, "orig", None) or type(error).__name__)
        locked = "; another program has it open: close that, and give the same command again"
        raise InputError(f"{folder / 'study.db'}: {reason}{locked if 'locked' in reason else ''}") from error


def refuse_foreign(study: optuna.Study, plan: Plan) -> None:
    """Raise InputError for a stored trial that does not fit the plan, because its values become overrides."""
    for trial in study.trials:
        wrong = trial.params.keys() ^ plan.space.keys()
        wrong |= {key for key, values in plan.space.items() if key not in wrong and trial.params[key] not in values}
        if wrong:
            raise InputError(
                f"study.db: trial {trial.number} has no value of the search for {', '.join(sorted(wrong))}"
            )


def carry_out(study: optuna.Study, plan: Plan, first: Mapping[str, Scalar], folder: Path) -> None:
    """Run the missing trials, and print a line for each.

    Args:
        study: the study to which each trial is added once it has ended.
        plan: the search.
        first: the values of trial 0.
        folder: a trial's run directory is folder/trials/NNN, and its output goes to folder/trials/NNN.log.

    Raises:
        InputError: trial 0 is refused, or does not log the metric.
        Interrupted: a signal was received.
    """
    for number in range(len(study.trials), plan.num_trials):
        params = dict(first) if number == 0 else suggestion(study.trials, plan, number)
        run_dir = folder / "trials" / f"{number:03d}"
        outcome = run_of(plan, params, run_dir, needed=number == 0)
        state = TrialState.FAIL if outcome.value is None else TrialState.COMPLETE
        attributes = {"reason": outcome.reason} if outcome.reason else {}
        space = {key: distribution(values) for key, values in plan.space.items()}
        study.add_trial(
            create_trial(params=params, distributions=space, value=outcome.value, state=state, user_attrs=attributes)
        )
        said = f"failed: {outcome.reason}" if outcome.value is None else f"{plan.metric} {outcome.value:.4g}"
        print(f"trial {number + 1}/{plan.num_trials}  {in_words(params)}  {said}", flush=True)


def suggestion(before: Sequence[FrozenTrial], plan: Plan, number: int) -> dict[str, Any]:
    """The values of trial `number`, a function of the plan, the number and the previous trials."""
    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=NUM_RANDOM)
    memory = optuna.create_study(sampler=sampler, direction="minimize")
    # the sampler ignores failed trials; as pruned trials they count as the worst
    memory.add_trials([trial if trial.value is not None else _given_up(trial) for trial in before])
    return memory.ask({key: distribution(values) for key, values in plan.space.items()}).params


def _given_up(trial: FrozenTrial) -> FrozenTrial:
    return create_trial(params=trial.params, distributions=trial.distributions, state=TrialState.PRUNED)


def distribution(values: Range | Sequence[Scalar]) -> BaseDistribution:
    """Convert values of the space to a distribution of Optuna."""
    if not isinstance(values, Range):
        return CategoricalDistribution(values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def run_of(plan: Plan, values: Mapping[str, Scalar], run_dir: Path, needed: bool = False) -> Outcome:
    """Train or resume a run with given values in run_dir, and return its result.

    Args:
        plan: the search.
        values: values of the space, or of other keys.
        run_dir: the directory of the run.
        needed: raise InputError if the run is refused or does not log the metric.
    """
    if RunDirectory(run_dir).in_use():
        raise InputError(f"{run_dir}: another process is training there")
    log = run_dir.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    code = run_job(plan.job(values), run_dir, log)
    if code == 0:
        return _lowest(plan.metric, run_dir, needed)
    lines = log.read_text(errors="replace", encoding="utf-8").splitlines() or [""]
    status = RunDirectory(run_dir).read_status()
    if code == BAD_INPUT:
        reason = lines[-1].removeprefix("error: ")
        if needed:
            raise InputError(reason)
    elif code < 0:
        reason = f"killed by {signal.Signals(-code).name}"
    else:
        reason = status.reason or lines[-1] or f"exit code {code}"
    return Outcome(None, reason)


def _lowest(metric: str, run_dir: Path, needed: bool) -> Outcome:
    file = RunDirectory(run_dir).metrics
    logged = read_metrics(file)
    if metric not in logged and needed:
        raise InputError(f"metric={metric} is not in {file}; {nearest(metric, logged)}")
    values = [value for _, value in logged.get(metric, []) if math.isfinite(value)]
    return Outcome(min(values)) if values else Outcome(None, f"no finite {metric}")


def run_job(overrides: Sequence[str], run_dir: Path, log: Path) -> int:
    """Train with some overrides in run_dir, in a new process, and return its exit code.

    Raises:
        Interrupted: SIGINT or SIGTERM was received; it was passed on to the run, which has saved a checkpoint.
    """
    command = [*TRAIN, *overrides, "resume=auto", placed("hydra.run.dir", run_dir.resolve())]
    with open(log, "a", encoding="utf-8") as output:
        code, received = waited_for(command, log=output)
    if received is not None:
        raise Interrupted(received)
    return code


def in_words(values: Mapping[str, Scalar]) -> str:
    """Format values for display.

    >>> in_words({"optimizer.lr": 0.00312345, "model": "lstm"})
    'optimizer.lr=0.003123 model=lstm'
    """
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )
