"""SeqLab: which rules do sequence models really learn?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqlab.deferred import defer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seqlab.run.build import Run

defer()


def load_run(path: str | Path, checkpoint: str = "best.ckpt", *, trust: Iterable[str] = ()) -> Run:
    """Load a run directory as Run(model, datamodule, config, task). See seqlab.run.build.load_run."""
    from seqlab.run import build  # lazy, so that importing the package does not load torch and lightning

    return build.load_run(path, checkpoint, trust=trust)
