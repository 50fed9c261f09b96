"""The jobs of a profile through a launcher of Hydra, such as that of SLURM: a sweep over the numbers of their files.

The launchers start processes elsewhere, which share this folder. Each is a job as a fork would do it.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from seqlab.errors import Interrupted
from seqlab.places import CONF, PACKAGE
from seqlab.run.launch import leave_cluster, waited_for
from seqlab.run.values import placed

NAME = "profile_jobs"
JOBS = "jobs"  # the folder of their files
QUIET = ("hydra/job_logging=disabled", "hydra/hydra_logging=disabled", "hydra.output_subdir=null")
ConfigStore.instance().store(name=NAME, node={"folder": "???", "job": "???"})


def file_of(folder: Path, number: int | str) -> Path:
    """The file with the text of a job."""
    return folder / JOBS / f"{number}.json"


def command_of(folder: Path, number: int, launcher: Sequence[str]) -> list[str]:
    """The command that runs jobs 0 .. number - 1 of a folder.

    Args:
        folder: has their files.
        number: how many.
        launcher: overrides: hydra/launcher=NAME, hydra.launcher.KEY=VALUE.
    """
    places = [placed("folder", folder), placed("hydra.sweep.dir", folder / "launcher"), f"job=range({number})"]
    return [sys.executable, str(PACKAGE / "__main__.py"), "profile", "--launch", "-m", *launcher, *QUIET, *places]


def launch(words: Sequence[str]) -> int:
    """Run `command_of` in its process. Returns the exit code."""
    sys.argv[1:] = words
    hydra.main(version_base="1.3", config_path=str(CONF), config_name=NAME)(run)()
    return 0


def run(config: DictConfig) -> None:
    """One job, wherever the launcher has put this process; what it leaves is in its directory.

    Raises:
        Interrupted: the job was told to end. A launcher that queues it again goes on with it.
    """
    leave_cluster()
    os.chdir(HydraConfig.get().runtime.cwd)  # Ray has a folder of its own, and overrides may name files
    work = file_of(Path(config.folder), config.job).read_text(encoding="utf-8")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _, signum = waited_for([sys.executable, str(PACKAGE / "__main__.py"), "profile", "--job", work])
    if signum is not None:
        raise Interrupted(signum)
