"""This version against an older one, as a whole: training steps on L5, --help, and short jobs.

    git worktree add ../seqlab-0.2 6324a54
    python benchmarks/versions.py ../seqlab-0.2

Each side runs in its own processes, which take turns. Training steps have one thread; their time is that of the
processor. A ratio is the median over turns, with the least and the most.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

from _timing import print_turns
from jobs import ONE_STEP, command

HERE = Path(__file__).resolve().parents[1]
AIMS = {"transformer": 3.5, "lstm": 1.6, "mamba": 1.4, "xlstm": 3, "linear": 1}
TURNS = 5
STEPS = 6  # optimizer steps in a process
T = TypeVar("T")
SHORT: dict[str, tuple[list[str], int, float]] = {  # command -> words, turns, aim
    "run.py --help": (["--help"], 5, 0),
    "a job of one step": (["model=linear", *ONE_STEP], 5, 1.7),
    "a sweep of ten jobs of one step": (["-m", "model=linear", *ONE_STEP, "seed=range(1,11)"], 2, 2.5),
}


def step(checkout: Path, model: str, max_length: int, batch_size: int) -> float:
    """Median CPU seconds of an optimizer step in a new process that imports the packages of a checkout."""
    words = [sys.executable, str(HERE / "benchmarks" / "_version_step.py")]
    words += [model, str(max_length), str(batch_size), str(STEPS if max_length < 256 else 2)]
    environment = os.environ | {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, encoding="utf-8")
    return median(map(float, done.stdout.split()))


def in_turns(measure: Callable[[Path], T], checkouts: dict[str, Path], turns: int) -> dict[str, list[T]]:
    """What is measured of each checkout, in turns."""
    times: dict[str, list[T]] = {name: [] for name in checkouts}
    for _ in range(turns):
        for name, checkout in checkouts.items():
            times[name].append(measure(checkout))
    return times


def main(older: Path) -> None:
    checkouts = {"older": older, "now": HERE}
    for model, aim in AIMS.items():
        times = in_turns(lambda checkout, model=model: step(checkout, model, 32, 128), checkouts, TURNS)
        print_turns(f"{model}, a step, batch 128 x 33", times, {"now": aim})
    times = in_turns(lambda checkout: step(checkout, "transformer", 256, 128), checkouts, 2)
    print_turns("transformer, a step, batch 128 x 257", times, {"now": 10})
    for what, (words, turns, aim) in SHORT.items():
        runs = in_turns(lambda checkout, words=words: command(words, checkout / "run.py"), checkouts, turns)
        for clock, index in (("wall clock", 0), ("CPU time", 1)):
            times = {name: [seconds[index] for seconds in both] for name, both in runs.items()}
            print_turns(what, times, {"now": aim} if aim else {}, clock)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]).resolve())
    else:
        print("versions.py CHECKOUT: say the folder of an older version, for example from `git worktree add`")
