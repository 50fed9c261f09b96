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
from omegaconf import DictConfig

CONF = Path(__file__).parent / "conf"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(config: DictConfig) -> None:
    """One run. Hydra has made its directory."""
    from seqlab.train import train  # torch and lightning load here, not for --help

    train(config)


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        job()
    except BaseException as error:
        from seqlab.cli import ending

        end = ending(error, CONF)
        if end is None or "debug=true" in sys.argv:
            raise
        print(end.message, file=sys.stderr)
        return end.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
