"""Train a model on a dataset, evaluate it beside its baselines, and leave a complete run directory.

python run.py model=transformer data=L5
python run.py -m model=transformer,lstm,linear data=L1,L3,L5 seed=1,2
"""

import os
import sys
from pathlib import Path

# Threads that spin beside a busy core can cost many times the step; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to main(), which says them in one line

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from seqlab.cli import tell
from seqlab.errors import Interrupted
from seqlab.job import register_resolvers
from seqlab.sweep import SweepFolder, conclude
from seqlab.words import prepared

CONF = Path(__file__).parent / "conf"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(config: DictConfig) -> None:
    """One run. Hydra has made its directory."""
    from seqlab.train import train  # torch and lightning load here, not for --help

    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        train(config, in_sweep)
    except Exception as error:
        code = tell(error, CONF)
        if not in_sweep:  # a sweep goes on with its next job; seqlab/sweep.py counts at the end
            sys.exit(code)


def main() -> int:
    """Run the command line; returns the exit code."""
    register_resolvers()
    try:
        sys.argv[1:] = prepared(sys.argv[1:], CONF)
        job()
    except (Exception, Interrupted, KeyboardInterrupt) as error:
        return tell(error, CONF)
    return 0 if SweepFolder.path is None else conclude(SweepFolder.path)


if __name__ == "__main__":
    sys.exit(main())
