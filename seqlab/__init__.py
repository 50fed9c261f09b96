"""SeqLab: which rules do sequence models really learn?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from seqlab.run.build import Run


def load_run(path: str | Path, checkpoint: str = "best.ckpt") -> Run:
    """Run(model, datamodule, config, task) of a run directory. See seqlab.run.build.load_run."""
    from seqlab.run import build  # torch and lightning load when they are needed, not with the package

    return build.load_run(path, checkpoint)
