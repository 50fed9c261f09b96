"""Commands of the project, each in a process of its own, forked from a server that has imported everything once.

A fresh interpreter needs longer to import torch, Lightning and Hydra than such a command needs to do its work. Words,
working directory, output and exit code are those of a command line.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

SECONDS = 300  # no command of a test takes so long
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "pytest",
        "seqlab.run.train",
        "matplotlib.backends.backend_agg",
        "torch.utils.tensorboard",
        "sklearn.linear_model",
        "rule_extrapolation.task",
        "sequences.task",
        "forecasting.task",
        "factorization.task",
        "lm.task",
        "transduction.task",
    ]
)


def run_command(words: Sequence[str], cwd: Path, scratch: Path) -> CompletedProcess:
    """`python WORDS` (a script or -m MODULE, and its arguments) in the folder `cwd`, to its end.

    The server starts with the first command and has the environment of that moment.

    Args:
        words: what follows `python`.
        cwd: the working directory.
        scratch: a folder that gets what the command prints.
    """
    out, err = scratch / "stdout", scratch / "stderr"
    process = CONTEXT.Process(target=_run, args=(list(words), cwd, out, err))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"{' '.join(words)} ran for {SECONDS} seconds; stderr: {err.read_text(encoding='utf-8')}")
    return CompletedProcess(
        list(words), process.exitcode or 0, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
    )


def _run(words: list[str], cwd: Path, out: Path, err: Path) -> None:
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, str(cwd))
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")
