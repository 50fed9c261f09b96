"""Short jobs: --help, a job of one step in a new process, and the jobs of a sweep as forks and in new processes.

The older way is a new process for each job; a sweep takes it where hydra.job.env_set is not empty. The last table has
four jobs of each model, one after another with all threads, and at once with one thread each (hydra/launcher=local).
Seconds are medians, with the least and the most, of wall clock and of all processors together; turns alternate.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

RUN = Path(__file__).parents[1] / "run.py"
ONE_STEP = ["data=L5", "trainer.max_steps=1", "trainer.val_every=1", "trainer.accelerator=cpu"]
STEPS = {"linear": 100, "lstm": 20, "transformer": 20}
REPEATS = 3
NUM_JOBS = 4
Seconds = tuple[list[float], list[float]]  # wall, processors; one number for each turn


def command(words: Sequence[str], run: Path = RUN) -> list[float]:
    """Seconds of the wall clock and of the processors that `python run.py WORDS` takes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(run), *words], cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [time.perf_counter() - started, used]


def alternate(commands: Sequence[Sequence[str]], repeats: int = REPEATS) -> list[Seconds]:
    """The seconds of several commands, called in turns."""
    kept: list[Seconds] = [([], []) for _ in commands]
    for _ in range(repeats):
        for words, (wall, used) in zip(commands, kept, strict=True):
            for seconds, new in zip((wall, used), command(words), strict=True):
                seconds.append(new)
    return kept


def said(seconds: Sequence[float]) -> str:
    return f"{sorted(seconds)[len(seconds) // 2]:.1f} ({min(seconds):.1f}-{max(seconds):.1f})"


def table(title: str, names: Sequence[str], rows: Sequence[tuple[str, Sequence[Seconds]]]) -> None:
    found = Table(title=title, title_justify="left")
    found.add_column("what", no_wrap=True)
    for name in (*(f"{name}, {kind}" for name in names for kind in ("wall s", "CPU s")), "ratio"):
        found.add_column(name, justify="right", no_wrap=True)
    for what, columns in rows:
        medians = [sorted(wall)[len(wall) // 2] for wall, _ in columns]
        ratio = f"{medians[0] / medians[-1]:.2f}" if len(columns) > 1 else ""
        found.add_row(what, *(said(part) for column in columns for part in column), ratio)
    Console(width=140).print(found)


def main() -> None:
    names = ("--help", "a job of one step")
    rows = [
        (name, alternate([words])) for name, words in zip(names, (["--help"], ["model=linear", *ONE_STEP]), strict=True)
    ]
    table("one command", ["new process"], rows)
    seeds = f"seed=range(1,{NUM_JOBS + 1})"
    sweep = ["-m", "model=linear", *ONE_STEP, seeds]
    both = alternate([[*sweep, "+hydra.job.env_set.SEQLAB_NEW_PROCESS=1"], sweep])
    table(f"a sweep of {NUM_JOBS} jobs of one step", ["new processes", "forks"], [("linear", both)])
    rows = []
    for model, steps in STEPS.items():
        words = ["-m", f"model={model}", "data=L5", f"trainer.max_steps={steps}", f"trainer.val_every={steps}"]
        words += ["trainer.accelerator=cpu", "seed=1,2,3,4"]
        rows.append((f"{model}, {steps} steps", alternate([words, [*words, "hydra/launcher=local"]], repeats=2)))
    table("four jobs", [f"{os.cpu_count()} threads, one by one", "local: at once"], rows)


if __name__ == "__main__":
    main()
