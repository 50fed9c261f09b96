"""Train a model on a dataset, evaluate it and its baselines, and write a complete run directory.

python run.py model=transformer data=L5
python run.py -m model=transformer,lstm,linear data=L1,L3,L5 seed=1,2
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from seqlab.starting import started, starting

if __name__ == "__main__":
    starting()

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from seqlab.cli import tell
from seqlab.errors import InputError, Interrupted
from seqlab.output import take_any_text
from seqlab.report.sweep import conclude
from seqlab.run.config import RunConfig
from seqlab.run.directory import RunDirectory
from seqlab.run.forks import Takeover
from seqlab.run.help import help_text
from seqlab.run.jobs import run_apart, wait_for_jobs
from seqlab.run.launch import leave_cluster, quiet_threads, thread_settings
from seqlab.run.overrides import prepared
from seqlab.run.sweep import SweepFolder

SCRIPT = Path(__file__).resolve()
CONF = SCRIPT.parent / "conf"
quiet_threads()
os.environ["HYDRA_FULL_ERROR"] = "1"  # errors propagate to main(), which reports them in one line


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(config: DictConfig) -> None:
    """Train one run, or start a job of a sweep. Hydra has already created the run directory."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        started()
        run_apart(SCRIPT, RunConfig.of(config))
        return
    hydras = HydraConfig.get()
    try:
        resolved = RunConfig.of(config, hydras)
        os.environ |= thread_settings(resolved.plain.get("trainer", {}))
        from seqlab.run.train import train  # loads torch and lightning: not needed for --help or a sweep's parent

        started()
        in_sweep = not OmegaConf.is_missing(hydras.job, "id")
        train(resolved, RunDirectory(Path(hydras.runtime.output_dir)), in_sweep=in_sweep)
    except Exception as error:
        without_directory()
        sys.exit(tell(error, CONF))


def without_directory() -> None:
    """Remove the directory that Hydra created for a run if it is still empty. Directories of sweep jobs are kept."""
    hydras = HydraConfig.get() if HydraConfig.initialized() else None
    if hydras is None or hydras.mode == RunMode.MULTIRUN or not OmegaConf.is_missing(hydras.job, "id"):
        return
    directory = RunDirectory(Path(hydras.runtime.output_dir))
    if directory.path.is_dir():
        with suppress(InputError, OSError), directory.claimed():  # not if another process uses it
            directory.remove_if_empty()


def main() -> int:
    """Run the command line and return the exit code."""
    take_any_text()
    try:
        leave_cluster()
        if sys.argv[1:] in (["--help"], ["-h"]):
            print(help_text(CONF))
            return 0
        sys.argv[1:] = prepared(sys.argv[1:], CONF)
        try:
            job()
        except Exception:
            wait_for_jobs()  # that a sweep has started before an error ended it
            raise
        return 0 if SweepFolder.path is None else conclude(SweepFolder.path)
    except (Exception, Interrupted, KeyboardInterrupt) as error:
        return tell(error, CONF)


def command() -> int:
    """Run the command line, and in a forked process of a sweep the command line of its job. Returns the exit code."""
    try:
        return main()
    except Takeover as takeover:
        mine = takeover
    starting(undo=without_directory)
    SweepFolder.path = None
    mine.begin()
    return main()  # not above, where the sweep would be the context of the job's errors


if __name__ == "__main__":
    starting(undo=without_directory)
    sys.exit(command())
