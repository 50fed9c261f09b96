"""Jobs as forks of the process that runs the sweep, which imports torch, Lightning and the rest once for all of them.

A fork is what `seqlab train OVERRIDES` would be, without the wait for the imports. It inherits nothing else: `fork`
raises `Takeover` in the child, so every frame of Hydra's sweep undoes what it has set, up to seqlab/training.py, which
then runs the job's overrides as a command. The parent imports, and computes nothing. So it has no thread of its own,
OpenMP has started none, and CUDA is not initialized: all of these would be broken in a child.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from hydra.core.global_hydra import GlobalHydra

from seqlab.run.launch import PASSED_ON, end_with_parent
from seqlab.starting import started, starting
from seqlab.waiting import waiting

# what every job imports sooner or later, beside the modules that its configuration names
NEEDED = ("seqlab.run.train", "matplotlib.figure", "matplotlib.backends.backend_agg", "torch.utils.tensorboard")


class Takeover(BaseException):
    """Raised in a fork, and caught by seqlab/training.py: this process is a job now.

    Args:
        arguments: of the job's command line.
        environment: what it sets in the environment; with OMP_NUM_THREADS also the number of torch's threads.
        mask: the signals that were blocked before the fork.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], mask: Iterable[int]):
        super().__init__()
        self.arguments = list(arguments)
        self.environment = dict(environment)
        self.mask = mask

    def begin(self) -> None:
        """Make this process like a new one. Signals that arrived since the fork are delivered at the end."""
        import numpy as np
        import torch

        with open(os.devnull, encoding="utf-8") as nothing:
            os.dup2(nothing.fileno(), 0)
        GlobalHydra.instance().clear()
        os.environ |= self.environment
        if "OMP_NUM_THREADS" in self.environment:  # libraries have read the variable when they were imported
            torch.set_num_threads(int(self.environment["OMP_NUM_THREADS"]))
        random.seed()
        np.random.seed()  # what nobody seeds differs from job to job
        sys.argv[1:] = self.arguments
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


class Fork:
    """A job in a forked process. It is polled and signalled like a subprocess.Popen."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)


def can_fork() -> bool:
    """Whether a fork of this process would work: on Linux, while it has one thread and no CUDA context."""
    torch = sys.modules.get("torch")
    return (
        sys.platform == "linux"
        and threading.active_count() == 1
        and not (torch is not None and torch.cuda.is_initialized())
    )


def load(config: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Import what a job with this configuration needs.

    A module that the configuration names and that cannot be imported is left to the job, which says so.

    Args:
        config: resolved, plain types.
        environment: variables that libraries read when they are imported.

    Raises:
        Exception: a module that every job needs cannot be imported.
    """
    before = dict(os.environ)
    os.environ |= environment
    starting()
    try:
        with waiting("loading torch and Lightning"):
            for name in NEEDED:
                import_module(name)
            from seqlab.check import is_allowed  # imports pydantic

            for target in targets(config):
                if is_allowed(target):
                    with suppress(Exception):
                        import_module(target.rpartition(".")[0])
    finally:
        started()
        for name in environment.keys() - before.keys():
            del os.environ[name]


def targets(config: Any) -> Iterator[str]:
    """Every `_target_` in a nested configuration.

    >>> list(targets({"model": {"_target_": "a.B", "layers": [{"_target_": "c.D"}]}, "seed": 1}))
    ['a.B', 'c.D']
    """
    if isinstance(config, Mapping):
        if isinstance(target := config.get("_target_"), str):
            yield target
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from targets(value)


def fork(arguments: Sequence[str], environment: Mapping[str, str], in_child: Callable[[], None]) -> Fork:
    """Fork this process. Returns in the parent; see `Takeover` for the child.

    The child has its own process group, so that Ctrl-C reaches it only once, and gets SIGTERM when the parent dies in
    any way. Until `Takeover.begin`, SIGINT and SIGTERM wait.

    Args:
        arguments: of the job's command line.
        environment: see `Takeover`.
        in_child: makes the child forget what the parent runs.

    Raises:
        OSError: the system cannot start another process.
    """
    ask, parent = end_with_parent(), os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Fork(pid)
    try:
        os.setpgid(0, 0)
        ask()
        in_child()
        alone = os.getppid() != parent  # it died before this process asked for its signal
    except BaseException:
        os._exit(1)  # not a second sweep
    if alone:
        os._exit(128 + signal.SIGTERM)
    raise Takeover(arguments, environment, before)
