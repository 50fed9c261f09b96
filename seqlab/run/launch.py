"""The processes of a run: the number of threads of each, and child processes that get the signals of their parent.

Nothing here imports torch, which reads these settings on import.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from seqlab.errors import InputError
from seqlab.places import PACKAGE

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
PASSED_ON = (signal.SIGINT, signal.SIGTERM)
# Begins a run in a new process, from this very package, wherever that process starts.
TRAIN = (sys.executable, str(PACKAGE / "__main__.py"), "train")
SECONDS = 0.02  # between two looks at the children


def quiet_threads() -> None:
    """Make idle OpenMP threads sleep: when cores are busy, spinning threads can multiply the time of a step."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads(launcher: Mapping[str, Any], num_processes: int) -> int:
    """The number of threads per process of a job: the job's cores divided by its processes.

    Args:
        launcher: the node hydra.launcher. It sets the number of parallel jobs (joblib: n_jobs), or the number of cores
            per job (submitit: cpus_per_task; Ray: ray.remote.num_cpus); otherwise a job has all cores.
        num_processes: number of processes of the job, trainer.devices.

    >>> num_threads({"cpus_per_task": 8}, 2)
    4
    """
    if "cpus_per_task" in launcher:
        cores = launcher["cpus_per_task"] or 1  # SLURM's default
    elif "ray" in launcher:
        cores = launcher["ray"]["remote"].get("num_cpus") or 1
    else:
        jobs = launcher.get("n_jobs") or 1
        cores = num_cores() // (jobs if jobs > 0 else max(1, num_cores() + 1 + jobs))
    return max(1, int(cores) // num_processes)


def several_at_once() -> bool:
    """Whether the sweep runs as many jobs at once as there are cores: hydra/launcher=local."""
    return HydraConfig.get().runtime.choices.get("hydra/launcher") == "local"


def thread_settings(trainer: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that set the number of threads of a job's processes.

    Empty if the job may use all cores, or if OMP_NUM_THREADS is already set.
    """
    launcher = {"n_jobs": -1} if several_at_once() else OmegaConf.to_container(HydraConfig.get().launcher)
    assert isinstance(launcher, dict)
    devices = trainer.get("devices")  # not checked yet
    threads = num_threads(launcher, devices if isinstance(devices, int) and devices > 0 else 1)  # type: ignore[arg-type]
    return {} if threads == num_cores() or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}


def leave_cluster() -> None:
    """Make Lightning start the processes of a run itself, even inside a SLURM job.

    Raises:
        InputError: SLURM has started several tasks, which would all train in the same directory.
    """
    tasks = os.environ.pop("SLURM_NTASKS", "1")
    if tasks != "1" and "SLURM_PROCID" in os.environ:
        raise InputError(
            f"SLURM_NTASKS={tasks}: a run starts its own processes; ask for one task, with --cpus-per-task or --gpus, "
            "and set trainer.devices"
        )


class Child(Protocol):
    """A child process: a subprocess.Popen, or a `seqlab.run.forks.Fork`."""

    returncode: int | None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""


class Children:
    """Child processes that run at once. While there are any, SIGINT and SIGTERM are passed on to each.

    A launcher's own handlers, such as submitit's for preemption, are kept.

    running: the processes that have not ended, or whose end was not noticed yet.
    received: the signals that were passed on.
    """

    def __init__(self) -> None:
        self.running: list[Child] = []
        self.received: list[int] = []
        self._previous: dict[int, Any] = {}

    def add(self, child: Child) -> None:
        """Take on a process that has just been started."""
        if not self.running:
            untouched = (signal.default_int_handler, signal.SIG_DFL)
            mine = [signum for signum in PASSED_ON if signal.getsignal(signum) in untouched]
            self._previous = {signum: signal.signal(signum, self._pass_on) for signum in mine}
        self.running.append(child)

    def wait(self, below: int = 1) -> list[Child]:
        """Wait until fewer than `below` processes run; until none does, once a signal was received.

        Returns:
            those that have ended.
        """
        ended: list[Child] = []
        while len(self.running) >= (1 if self.received else below):
            ended += (new := [child for child in self.running if child.poll() is not None])
            self.running = [child for child in self.running if child not in new]
            if not new:
                time.sleep(SECONDS)
        if ended and not self.running:
            self.forget()
        return ended

    def forget(self) -> None:
        """Restore the handlers. A fork calls it too: the processes are not its own children."""
        self.running = []
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def _pass_on(self, signum: int, frame: Any) -> None:
        self.received.append(signum)
        for child in self.running:
            child.send_signal(signum)


def waited_for(command: list[str], log: IO[str] | None = None) -> tuple[int, int | None]:
    """Run a command and wait for it. Returns its exit code, and the signal that was received and passed on, if any.

    Its output goes to `log`, or to the output of this process.
    """
    children = Children()
    children.add(child := started_process(command, log=log))
    children.wait()
    return child.returncode, children.received[0] if children.received else None


def started_process(
    command: list[str],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    log: IO[str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a command as a child process.

    It is in its own process group, so that Ctrl-C reaches it only once. On Linux it gets SIGTERM when this process
    dies in any way.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env=environment,
        process_group=0,
        preexec_fn=end_with_parent() if sys.platform == "linux" else None,
    )


def end_with_parent() -> Callable[[], None]:
    """A function that a child process on Linux calls, to get SIGTERM when its parent dies in any way."""
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)

    return ask
