"""The configuration of a run that a command does not start: composed, resolved and typed as run.py does it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.run.build import configuration
from seqlab.run.config import RunConfig, composed
from seqlab.run.overrides import readable_overrides, with_config_dir
from seqlab.run.typed import with_typed


def plain_config(overrides: Sequence[str], conf: Path, config_dir: str | None = None) -> dict[str, Any]:
    """Resolve the configuration of a run to plain types, without creating a directory.

    Args:
        overrides: as for run.py.
        conf: the folder of the configuration groups.
        config_dir: an additional folder of configurations.

    Raises:
        HydraException, InputError: for invalid overrides.
    """
    readable = readable_overrides(with_config_dir(overrides, config_dir), conf)
    return with_typed(RunConfig.of(composed(readable, conf)), configuration, readable).plain
