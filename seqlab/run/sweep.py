"""What Hydra tells of a sweep while it runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqlab.starting import started


class SweepFolder(Callback):
    """Notes where the sweep of this process writes: Hydra tells nobody else once it is over.

    Args:
        typed: words as Hydra's sweeper prints them, each followed by how it was typed; run_apart looks there.
    """

    path: Path | None = None

    def __init__(self, typed: Sequence[str] = ()):
        self.typed = typed

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        started()
        SweepFolder.path = Path(config.hydra.sweep.dir)
