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
        sources: the options and words that say where Hydra finds configurations; run_apart hands them on.
    """

    path: Path | None = None

    def __init__(self, typed: Sequence[str] = (), sources: Sequence[str] = ()):
        self.typed = typed
        self.sources = sources

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        started()
        SweepFolder.path = Path(config.hydra.sweep.dir)
