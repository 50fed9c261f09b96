"""The runs of a profile: as many at once as there are cores, each a fork; rows are written as runs end."""

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from seqlab.errors import InputError, Interrupted
from seqlab.files import write_text
from seqlab.places import PACKAGE
from seqlab.profile.jobs import RESULT, Going, Job, alone_in, runs_of
from seqlab.profile.models import Model
from seqlab.profile.rows import SCHEMA, Row, one_line, read_rows, refuse_others, write_rows
from seqlab.profile.suite import Suite
from seqlab.run.directory import RunDirectory
from seqlab.run.forks import can_fork, fork, load
from seqlab.run.launch import Child, Children, num_cores, started_process
from seqlab.run.tally import Tally

if TYPE_CHECKING:
    from seqlab.profile.job import Work

ROWS = "rows.csv"
LAUNCHER_LOG = "launcher.log"  # what a launcher of Hydra prints
SECONDS = 0.2  # between two looks for what jobs have left


@dataclass
class Profile:
    """The runs of some models through a suite, and their rows in a folder.

    name, suite: what they go through.
    models: whose runs.
    folder: gets rows.csv and runs/MODEL/RUN.
    config_dir: an additional folder of configurations.
    output: gets a line for each run; None: stdout.
    launcher: overrides of Hydra's launcher that starts the runs; none: they share the cores of this machine.
    rows: those that the folder has.
    """

    name: str
    suite: Suite
    models: Sequence[Model]
    folder: Path
    config_dir: str | None = None
    output: TextIO | None = None
    launcher: Sequence[str] = ()
    rows: list[Row] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    children: Children = field(default_factory=Children)

    def carry_out(self) -> None:
        """Run what is missing. A run that was cut off goes on; one that has failed is tried again.

        Raises:
            InputError: the folder has rows of another suite, or is in use.
            KeyboardInterrupt, Interrupted: a signal ended it; no run goes on.
            Takeover: in a fork, which is a job now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone_in(self.folder):
            self._resume()
            missing = [job for job in self._jobs() if not self._has(job)]
            trials = [trial for job in missing for trial in self._trials(job)]
            trials = [trial for trial in dict.fromkeys(trials) if self.loss(trial) is None]
            self.tally.total = len(missing) + len(trials)
            self._run(trials)
            self._run(missing)

    def _resume(self) -> None:
        """Read the rows that the folder has."""
        file = self.folder / ROWS
        if file.exists():
            self.rows = read_rows(file)
            refuse_others(self.rows, self.name, self.suite, file)

    def _jobs(self) -> list[Job]:
        """All runs, the seeds last to change, so that a suite that was cut off has every cell."""
        return [
            Job(model, cell, seed) for model in self.models for seed in self.suite.seeds for cell in self.suite.cells
        ]

    def _has(self, job: Job) -> bool:
        """Whether there is a value of this run."""
        wanted = (job.model.label, job.cell, job.seed)
        return any(row.run == wanted and row.value is not None for row in self.rows)

    def _trials(self, job: Job) -> list[Job]:
        """The short runs from which the learning rate of a run follows."""
        return [Job(job.model, job.cell, self.suite.seeds[0], rate, trial=True) for rate in self.suite.rates]

    def loss(self, trial: Job) -> float | None:
        """The lowest validation loss of a trial; infinite where it has ended without one.

        None where it has not run or could not begin: then it is tried again.
        """
        from seqlab.profile.job import result_of  # imports torch

        result = result_of(self.directory(trial))
        if result is None or "reason" in result:
            return None
        loss = result.get("val_loss")
        return float("inf") if loss is None else float(loss)

    def rate(self, job: Job) -> float | None:
        """The learning rate of a run: the one with the lowest loss; None: the configuration's own."""
        losses = {trial.rate: self.loss(trial) for trial in self._trials(job)}
        known = {rate: loss for rate, loss in losses.items() if loss is not None and math.isfinite(loss)}
        return min(known, key=lambda rate: known[rate]) if known else None

    def without_rate(self, job: Job) -> str:
        """Why no learning rate can be chosen for a run; empty where one can, or none is to be chosen."""
        from seqlab.profile.job import result_of

        if job.trial or not self.suite.rates or self.rate(job) is not None:
            return ""
        results = (result_of(self.directory(trial)) or {} for trial in self._trials(job))
        said = next((result["reason"] for result in results if "reason" in result), "")
        rates = ", ".join(f"{rate:g}" for rate in self.suite.rates)
        return said or f"none of the learning rates {rates} led to a validation loss"

    def directory(self, job: Job) -> Path:
        """The directory of a run."""
        what = f"rate={job.rate:g}" if job.trial else f"seed={job.seed}"
        return runs_of(self.folder, job.model.label) / f"{job.cell},{what}"

    def _run(self, jobs: Iterable[Job]) -> None:
        """Run jobs side by side, print a line for each that ends, and write its rows."""
        able: list[Job] = []
        for job in jobs:
            if reason := self.without_rate(job):
                self._report(job, {"reason": reason}, 0.0)
            else:
                able.append(job)
        if self.launcher and able:
            self._launch(able)
            return
        going: list[Going] = []
        for job in able:
            work = self._begun(job)
            self.children.add(child := self._started(work.text))
            going.append(Going(job, child, time.monotonic()))
            self._end(going, below=num_cores())
        self._end(going, below=1)

    def _launch(self, jobs: Sequence[Job]) -> None:
        """Hand jobs to a launcher of Hydra, and take what each leaves as soon as it is there."""
        from seqlab.profile.launched import JOBS, command_of, file_of

        (self.folder / JOBS).mkdir(exist_ok=True)
        for number, job in enumerate(jobs):
            write_text(file_of(self.folder, number), self._begun(job).text)
        since, waiting, ended = time.monotonic(), list(jobs), False
        with open(self.folder / LAUNCHER_LOG, "w", encoding="utf-8") as log:
            child = started_process(command_of(self.folder.absolute(), len(jobs), self.launcher), log=log)
        self.children.add(child)
        while waiting and not ended:
            time.sleep(SECONDS)
            ended = child.poll() is not None  # before the last look
            for job in [job for job in waiting if ended or (self.directory(job) / RESULT).exists()]:
                waiting.remove(job)
                if not self.children.received or (self.directory(job) / RESULT).exists():
                    self._take(Going(job, child, since), child.returncode or 0)
        self.children.wait()
        self._stop_if_told()
        if child.returncode:
            lines = (self.folder / LAUNCHER_LOG).read_text(encoding="utf-8", errors="replace").split("\n")
            said = next((line for line in reversed(lines) if line.strip()), f"exit code {child.returncode}")
            raise InputError(f"{' '.join(self.launcher)}: {one_line(said)}; more in {self.folder / LAUNCHER_LOG}")

    def _begun(self, job: Job) -> "Work":
        """What a job has to do, in a directory without what cannot be gone on with."""
        from seqlab.profile.job import Work

        directory = self.directory(job)
        if RunDirectory(directory).read_status().state == "failed":  # nothing to go on with
            shutil.rmtree(directory)
        (directory / RESULT).unlink(missing_ok=True)
        suite, cell = self.suite, self.suite.cells[job.cell]
        if job.trial:
            assert job.rate is not None
            own = suite.trial_overrides(job.cell, job.rate)
        else:
            own = suite.run_overrides(job.cell, job.seed, self.rate(job))
        self.tally.begin()
        return Work(
            overrides=[*job.model.overrides, *own],
            typed=job.model.options,
            budget=suite.parameters,
            metrics=[] if job.trial else [measure.metric for measure in cell.measures],
            curve=cell.curve,
            targets=0 if job.trial else cell.targets,
            directory=str(directory.absolute()),
            config_dir=self.config_dir,
        )

    def _started(self, work: str) -> Child:
        """A process for a job: a fork, or a new one where forks do not work. Each has one thread."""
        arguments, settings = ["--job", work], {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        if can_fork():
            load({}, settings)
            return fork(arguments, settings, in_child=self.children.forget)
        command = [sys.executable, str(PACKAGE / "__main__.py"), "profile", *arguments]
        return started_process(command, environment=os.environ | settings)

    def _end(self, going: list[Going], below: int) -> None:
        """Wait until fewer than `below` jobs run.

        Raises:
            KeyboardInterrupt, Interrupted: a signal was received.
        """
        ended = self.children.wait(below)
        for one in [one for one in going if one.child in ended]:
            going.remove(one)
            assert one.child.returncode is not None, "it has ended"
            if not self.children.received or one.child.returncode == 0:
                self._take(one, one.child.returncode)
        self._stop_if_told()

    def _stop_if_told(self) -> None:
        """Raise KeyboardInterrupt or Interrupted if a signal was received."""
        if self.children.received:
            signum = self.children.received[0]
            error = KeyboardInterrupt() if signum == signal.SIGINT else Interrupted(signum)
            error.add_note("the same command goes on")
            raise error

    def _take(self, one: Going, code: int) -> None:
        """Write the rows of a job that has ended, and print its line."""
        from seqlab.profile.job import result_of

        result = result_of(self.directory(one.job))
        if result is None:
            status = RunDirectory(self.directory(one.job)).read_status()
            killed = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            result = {"reason": status.reason if code >= 0 and status.reason else killed}
        self._report(one.job, result, time.monotonic() - one.since)

    def _report(self, job: Job, result: dict[str, Any], seconds: float) -> None:
        """Write the rows of a job from its result, and print its line."""
        if job.trial:
            said = result.get("reason") or f"validation loss {result.get('val_loss')}"
        else:
            new = self.rows_of(job, result)
            self.rows = [row for row in self.rows if row.run != new[0].run] + new
            write_rows(self.folder / ROWS, self.rows)
            said = "; ".join(dict.fromkeys(map(told, new)))
        state = "failed" if "reason" in result else "done"
        line = self.tally.line(state, job.label, said, seconds)
        print(line, file=self.output or sys.stdout, flush=True)

    def rows_of(self, job: Job, result: dict[str, Any]) -> list[Row]:
        """The rows of a run, from what it has left: one for each measure of its cell."""
        cell = self.suite.cells[job.cell]
        known = {key: result.get(key) for key in ("parameters", "steps", "targets", "rate", "seconds")}
        texts = {key: str(result.get(key, "")) for key in ("widths", "version", "machine")}
        rows = []
        for place, measure in enumerate(cell.measures):
            found = result.get("measures", {}).get(measure.metric, {"reason": result.get("reason", "")})
            found = {**found, "reason": one_line(found.get("reason", ""))}
            rows.append(
                Row(
                    schema=SCHEMA,
                    suite=self.name,
                    suite_version=self.suite.version,
                    cell=job.cell,
                    ability=measure.ability,
                    metric=measure.metric,
                    model=job.model.name,
                    options=" ".join(job.model.options),
                    seed=job.seed,
                    budget=self.suite.parameters,
                    curve="" if place else result.get("curve", ""),
                    **known,
                    **texts,
                    **found,
                )
            )
        return rows


def told(row: Row) -> str:
    """A measure in a few words: state 0.98; or why there is none."""
    if row.score is not None:
        return f"{row.ability} {row.score:.2f}"
    return row.reason
