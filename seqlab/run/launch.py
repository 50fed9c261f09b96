"""The processes of a run: the number of threads of each, and jobs of a sweep in separate processes.

Nothing here imports torch, which reads these settings on import.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from seqlab.errors import InputError, Interrupted
from seqlab.run.config import RunConfig
from seqlab.run.directory import RunDirectory, Status
from seqlab.run.values import key_of, placed

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


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


def thread_settings(trainer: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that set the number of threads of a job's processes.

    Empty if the job may use all cores, or if OMP_NUM_THREADS is already set.
    """
    launcher = OmegaConf.to_container(HydraConfig.get().launcher)
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


def run_apart(script: Path, config: RunConfig) -> None:
    """Run a job of a sweep as `python script OVERRIDES` in its directory, and wait for it to end.

    The sweep continues whatever the outcome; if the job was killed, status.json records how. A signal that ends the
    sweep is first passed on to the job.

    Raises:
        KeyboardInterrupt, Interrupted: a signal ended the sweep itself.
    """
    hydra = HydraConfig.get()
    directory = RunDirectory(Path(hydra.runtime.output_dir))
    if is_finished(directory, config):
        print(f"{directory.path} is finished: nothing to resume", flush=True)
        return
    texts = iter(hydra.callbacks["sweep_folder"].typed)
    typed = dict(zip(texts, texts, strict=True))
    overrides = [typed.get(text, text) for text in hydra.overrides.task if key_of(text) != "resume"]
    place = [placed("hydra.run.dir", directory.path), placed("hydra.job.id", directory.path.name)]
    command = [sys.executable, str(script), *hydra.callbacks["sweep_folder"].sources, *overrides, *place]
    sys.stdout.flush()
    code, received = waited_for(command, Path(hydra.runtime.cwd), os.environ | thread_settings(config.plain["trainer"]))
    if code < 0:
        note_kill(directory, config.hash, f"killed by {signal.Signals(-code).name}")
    elif code and directory.read_status().state in ("unknown", "running"):
        note_kill(directory, config.hash, f"ended with exit code {code}")
    if received == signal.SIGINT:
        raise KeyboardInterrupt
    if received is not None:
        raise Interrupted(received)


def is_finished(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether a directory holds a run with this configuration that is finished."""
    status = directory.read_status()
    if status.state != "done" or status.hash != config.hash:
        return False
    from seqlab.run.summary import read_summary  # lazy, because it imports pydantic

    return status.reason != "max_steps" or read_summary(directory.path)["steps"] == config.max_steps


def note_kill(directory: RunDirectory, digest: str, reason: str) -> None:
    """Record what ended a killed process, unless another process has already resumed the run."""
    try:
        with directory.claimed():
            directory.write_status(Status("failed", reason, digest))
            with open(directory.log, "a", encoding="utf-8") as log:
                log.write(f"{reason}\n")
    except InputError as error:
        print(error, file=sys.stderr)


def waited_for(
    command: list[str],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    log: IO[str] | None = None,
) -> tuple[int, int | None]:
    """Run a command and wait for it. Returns its exit code, and the signal that was received and passed on, if any.

    The child is in its own process group, so that Ctrl-C reaches it only once. On Linux it gets SIGTERM when this
    process dies in any way. Its output goes to `log`, or to the output of this process.
    """
    received: list[int] = []
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env=environment,
        process_group=0,
        preexec_fn=_end_with_parent() if sys.platform == "linux" else None,
    )

    def hand_on(signum: int, frame: Any) -> None:
        received.append(signum)
        child.send_signal(signum)

    # keep handlers of a launcher, such as submitit's for preemption
    untouched = (signal.default_int_handler, signal.SIG_DFL)
    mine = [signum for signum in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(signum) in untouched]
    previous = {signum: signal.signal(signum, hand_on) for signum in mine}
    try:
        code = child.wait()
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    return code, received[0] if received else None


def _end_with_parent() -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)

    return ask
