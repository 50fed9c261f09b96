"""A Hydra callback that records facts about a sweep while it runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqlab.run.jobs import wait_for_jobs
from seqlab.starting import started


class SweepFolder(Callback):
    """Records the sweep directory of this process, which Hydra does not expose after the sweep.

    Args:
        typed: pairs for `run_apart`: an override as Hydra's sweeper prints it, then as it was typed.
        sources: options and overrides that set where Hydra finds configurations; `run_apart` passes them on.
    """

    path: Path | None = None

    def __init__(self, typed: Sequence[str] = (), sources: Sequence[str] = ()):
        self.typed = typed
        self.sources = sources

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        started()
        SweepFolder.path = Path(config.hydra.sweep.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        wait_for_jobs()
