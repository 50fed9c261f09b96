"""A Hydra callback that records facts about a sweep while it runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqlab.run.jobs import expect, wait_for_jobs
from seqlab.starting import started

BASIC = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


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
        expect(_num_jobs(config))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        wait_for_jobs()


def _num_jobs(config: DictConfig) -> int | None:
    """The number of jobs of a sweep, which Hydra's own sweeper combines from the values; None for another sweeper."""
    if config.hydra.sweeper.get("_target_") != BASIC:
        return None
    texts = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    (jobs,) = BasicSweeper.split_arguments(parser.parse_overrides([*texts, *config.hydra.overrides.task]), None)
    return len(jobs)
