"""The command that trains: `seqlab train OVERRIDES` and `python run.py OVERRIDES`. With -m it runs a sweep.

seqlab train model=transformer data=L5
seqlab train -m model=transformer,lstm,linear data=L1,L3,L5 seed=1,2
"""

import inspect
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from seqlab import plugins
from seqlab.cli import tell
from seqlab.errors import InputError, Interrupted
from seqlab.output import take_any_text
from seqlab.places import CONF
from seqlab.report.sweep import conclude
from seqlab.run.config import RunConfig
from seqlab.run.directory import RunDirectory
from seqlab.run.forks import Takeover
from seqlab.run.help import help_text
from seqlab.run.jobs import run_apart, wait_for_jobs
from seqlab.run.launch import leave_cluster, quiet_threads, thread_settings
from seqlab.run.overrides import asks_for_help, prepared
from seqlab.run.search_path import refuse_ambiguous, register
from seqlab.run.sweep import SweepFolder
from seqlab.starting import started, starting
from seqlab.waiting import waiting

quiet_threads()
os.environ["HYDRA_FULL_ERROR"] = "1"  # errors propagate to run_command(), which reports them in one line


def job(config: DictConfig) -> None:
    """Train one run, or start a job of a sweep. Hydra has already created the run directory."""
    hydras = HydraConfig.get()
    if hydras.mode == RunMode.MULTIRUN:
        started()
        run_apart(RunConfig.of(config))
        return
    try:
        refuse_ambiguous(hydras)
        resolved = RunConfig.of(config, hydras)
        os.environ |= thread_settings(resolved.plain.get("trainer", {}))
        with waiting("loading torch and Lightning"):
            from seqlab.run.train import train  # not needed for --help or a sweep's parent

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


def whitelist() -> dict[str, tuple[str, ...]]:
    """What a YAML may have Hydra itself construct, where Hydra asks (from 1.4 on): our callback, and a plug-in's."""
    known = "execution_whitelist" in inspect.signature(hydra.main).parameters
    return {"execution_whitelist": tuple(f"{package}.*" for package in ("seqlab", *plugins.names()))} if known else {}


def run_command() -> int:
    """Run the command line in sys.argv and return the exit code."""
    take_any_text()
    try:
        leave_cluster()
        if asks_for_help(sys.argv[1:]):
            print(help_text([CONF, *plugins.folders()]))
            return 0
        sys.argv[1:] = prepared(sys.argv[1:], CONF)
        register()
        try:
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config", **whitelist())(job)()
        except Exception:
            wait_for_jobs()  # that a sweep has started before an error ended it
            raise
        return 0 if SweepFolder.path is None else conclude(SweepFolder.path)
    except (Exception, Interrupted, KeyboardInterrupt) as error:
        return tell(error, CONF)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and in a forked process of a sweep the command line of its job. Returns the exit code.

    Args:
        arguments: take the place of those in sys.argv, where Hydra and Lightning look for them.
    """
    starting(undo=without_directory)
    if arguments is not None:
        sys.argv[1:] = arguments
    try:
        return run_command()
    except Takeover as takeover:
        mine = takeover
    starting(undo=without_directory)
    SweepFolder.path = None
    mine.begin()
    return run_command()  # not above, where the sweep would be the context of the job's errors
