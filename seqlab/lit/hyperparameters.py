"""The hyperparameters that every run logs to TensorBoard's HParams tab, whatever its model and data.

TensorBoard takes the tab's columns from one run of a folder, and cannot sort or filter a column that mixes numbers and
strings. So each run logs the same few, each with one type; what else was set on its command line stands in one column.
"""

from collections.abc import Mapping
from math import nan
from typing import Any

from hydra.core.hydra_config import HydraConfig

TEXTS = {"model": "name/model", "data": "name/data"}
NUMBERS = {
    "seed": "seed",
    "learning_rate": "optimizer/lr",
    "weight_decay": "optimizer/weight_decay",
    "batch_size": "data/batch_size",
    "max_steps": "trainer/max_steps",
    "d_model": "model/d_model",
    "num_layers": "model/num_layers",
}
OVERRIDES = "also_set"
IN_COLUMNS = {"model", "data", *(path.replace("/", ".") for path in NUMBERS.values())}  # keys of the command line
APART = {"logger", "debug", "resume"}  # keys that do not change what is trained


def hyperparameters(config: Mapping[str, Any]) -> dict[str, float | str]:
    """Model, data, seven numbers, and all else that the current Hydra job sets on its command line.

    Args:
        config: resolved, plain types.

    Returns:
        name -> number or text; a number that a run does not have is nan, which TensorBoard shows as blank.
    """
    own = flattened(dict(config))
    numbers = {name: own.get(path) for name, path in NUMBERS.items()}
    return {
        **{name: str(own.get(path, "-")) for name, path in TEXTS.items()},
        **{name: float(value) if isinstance(value, int | float) else nan for name, value in numbers.items()},
        OVERRIDES: " ".join(_overrides()) or "-",
    }


def _overrides() -> list[str]:
    """The overrides of the current job that no column shows; none outside a job."""
    if not HydraConfig.initialized():
        return []
    return [
        text
        for text in HydraConfig.get().overrides.task
        if (key := text.lstrip("+~").partition("=")[0]) not in IN_COLUMNS and key.partition(".")[0] not in APART
    ]


def flattened(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Flatten a nested configuration to its leaves, with names of keys joined by slashes.

    >>> flattened({"seed": 1, "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}})
    {'seed': 1, 'optimizer/lr': 0.1, 'optimizer/betas': [0.9, 0.99]}
    """
    found = {}
    for key, value in config.items():
        name = f"{path}/{key}".lstrip("/")
        found |= flattened(value, name) if isinstance(value, Mapping) else {name: value}
    return found
