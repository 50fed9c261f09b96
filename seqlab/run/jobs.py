"""The jobs of a sweep, each in a process of its own: one after another, or as many at once as there are cores."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig

from seqlab.errors import InputError, Interrupted
from seqlab.run.config import RunConfig
from seqlab.run.directory import RunDirectory, Status
from seqlab.run.forks import can_fork, fork, load
from seqlab.run.launch import TRAIN, Child, Children, num_cores, several_at_once, started_process, thread_settings
from seqlab.run.tally import Tally, first_results
from seqlab.run.values import key_of, placed

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


class Job(NamedTuple):
    """A job that runs.

    child: its process.
    directory: its directory.
    hash: the hash of its configuration.
    label: model, data and the values that the sweep sets.
    since: when it began, in seconds of time.monotonic().
    """

    child: Child
    directory: RunDirectory
    hash: str
    label: str
    since: float


_children = Children()  # of the sweep that this process runs
_jobs: list[Job] = []
_tally = Tally()
_refused: list[str] = []  # why this process cannot fork, once it could not


def run_apart(config: RunConfig) -> None:
    """Run a job of a sweep in its directory, as `seqlab train OVERRIDES` would, in a process of its own.

    Waits for the job to end; under hydra/launcher=local, until fewer jobs run than there are cores. The sweep continues
    whatever the outcome; if the job was killed, status.json records how. A signal that ends the sweep is first passed
    on to its jobs.

    Raises:
        KeyboardInterrupt, Interrupted: a signal ended the sweep itself.
    """
    hydra = HydraConfig.get()
    directory = RunDirectory(Path(hydra.runtime.output_dir))
    if is_finished(directory, config):
        print(f"{directory.path} is finished: nothing to resume", flush=True)
        _tally.skip()
        return
    texts = iter(hydra.callbacks["sweep_folder"].typed)
    typed = dict(zip(texts, texts, strict=True))
    overrides = [typed.get(text, text) for text in hydra.overrides.task if key_of(text) != "resume"]
    place = [placed("hydra.run.dir", directory.path), placed("hydra.job.id", directory.path.name)]
    arguments = [*hydra.callbacks["sweep_folder"].sources, *overrides, *place]
    settings = thread_settings(config.plain.get("trainer", {}))
    sys.stdout.flush()
    child = forked(arguments, config.plain, settings)
    if child is None:
        child = started_process([*TRAIN, *arguments], Path(hydra.runtime.cwd), os.environ | settings)
    _tally.begin()
    name, swept = config.plain["name"], hydra.job.override_dirname
    label = ", ".join(filter(None, [f"{name['model']} on {name['data']}", swept]))
    _jobs.append(Job(child, directory, config.hash, label, time.monotonic()))
    _children.add(child)
    wait_for_jobs(below=num_cores() if several_at_once() else 1)


def forked(arguments: list[str], config: Mapping[str, Any], settings: Mapping[str, str]) -> Child | None:
    """Start a job as a fork of this process; None if it needs a new process.

    Hydra's own launchers for other machines and processes, several processes for one job (which Lightning starts by its
    command line) and variables that libraries may read when they are imported need a new one. Where a fork fails, a
    line says why, once.

    Args:
        arguments: of the job's command line.
        config: resolved, plain types.
        settings: its variables for threads.
    """
    hydra = HydraConfig.get()
    devices = config.get("trainer", {}).get("devices", 1)
    if hydra.launcher.get("_target_") != BASIC or devices != 1 or hydra.job.env_set or _refused or not can_fork():
        return None
    try:
        load(config, settings)
        return fork(arguments, settings, in_child=_children.forget)
    except Exception as error:
        _refused.append(f"{type(error).__name__}: {error}")
        print(f"each job starts a new process, because a fork fails: {_refused[0]}", file=sys.stderr, flush=True)
        return None


def wait_for_jobs(below: int = 1) -> None:
    """Wait until fewer than `below` jobs run, and record what ended the killed ones.

    Raises:
        KeyboardInterrupt, Interrupted: a signal was received; no job runs any more.
    """
    ended = _children.wait(below)
    for job in [job for job in _jobs if job.child in ended]:
        _jobs.remove(job)
        code = job.child.returncode
        assert code is not None, "it has ended"
        if code < 0:
            note_kill(job, f"killed by {signal.Signals(-code).name}")
        elif code and job.directory.read_status().state in ("unknown", "running"):
            note_kill(job, f"ended with exit code {code}")
        print(ended_line(job, code), flush=True)
    if _children.received:
        signum = _children.received[0]
        _children.received.clear()
        error = KeyboardInterrupt() if signum == signal.SIGINT else Interrupted(signum)
        error.add_note("the same command resumes the sweep")
        raise error


def expect(number: int | None) -> None:
    """Note how many jobs the sweep of this process will have; None if that is unknown."""
    _tally.total = number


def ended_line(job: Job, code: int) -> str:
    """Count a job that has ended with an exit code, and describe it in one line."""
    status = job.directory.read_status()
    done = code == 0 and status.state == "done"
    result = first_results(job.directory.path) if done else status.reason
    state = "done" if done else status.state if status.state in ("interrupted", "failed") else "failed"
    return _tally.line(state, job.label, result, time.monotonic() - job.since)


def is_finished(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether a directory holds a run with this configuration that is finished."""
    status = directory.read_status()
    if status.state != "done" or status.hash != config.hash:
        return False
    from seqlab.run.summary import read_summary  # lazy, because it imports pydantic

    return status.reason != "max_steps" or read_summary(directory.path)["steps"] == config.max_steps


def note_kill(job: Job, reason: str) -> None:
    """Record what ended a killed process, unless another process has already resumed the run."""
    try:
        with job.directory.claimed():
            job.directory.write_status(Status("failed", reason, job.hash))
            with open(job.directory.log, "a", encoding="utf-8") as log:
                log.write(f"{reason}\n")
    except InputError as error:
        print(error, file=sys.stderr)
