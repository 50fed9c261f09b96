"""Finds the keys in which the configurations of runs differ, apart from the seed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqlab.run.config import deciding

# Keys that do not make a different setting: the seed, and the names of a run.
NO_SETTING = ("seed", "name")

Config = Mapping[str, str]  # dotted key -> value as a string


def tried(config: Config) -> dict[str, str]:
    """The keys that identify what is trained, except for the seed."""
    return {key: value for key, value in deciding(config).items() if key.partition(".")[0] not in NO_SETTING}


def differing_keys(configs: Iterable[Config | None]) -> list[str]:
    """The keys of `tried` that differ between configurations, or are missing in some.

    >>> differing_keys([{"seed": "1", "lr": "1", "d": "2"}, {"seed": "2", "lr": "3", "d": "2"}, None])
    ['lr']
    """
    known = [tried(config) for config in configs if config is not None]
    keys = dict.fromkeys(key for config in known for key in config)
    return [key for key in keys if len({config.get(key) for config in known}) > 1]


def setting_of(config: Config | None, keys: Sequence[str]) -> dict[str, str] | None:
    """A run's values of the differing keys, without absent keys. None without a configuration."""
    return None if config is None else {key: config[key] for key in keys if key in config}


def setting_text(setting: Mapping[str, str] | None, *, paths: bool = False) -> str:
    """Format a setting for display after the name of a model, with the names of classes, or their whole `paths`.

    >>> setting_text({"optimizer.lr": "0.002", "schedule._target_": "seqlab.schedule.ConstantRate"})
    'optimizer.lr=0.002 schedule=ConstantRate'
    >>> setting_text(None)
    '(no configuration kept)'
    """
    if setting is None:
        return "(no configuration kept)"
    return " ".join(
        f"{key.removesuffix('._target_')}={value if paths else value.rpartition('.')[2]}"
        if key.endswith("._target_")
        else f"{key}={value}"
        for key, value in setting.items()
    )


def settings_of(runs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, str] | None, list[dict[str, Any]]]]:
    """Group the runs of one data x model by setting, in order of first appearance."""
    keys = differing_keys(run["config"] for run in runs)
    found: dict[Any, tuple[dict[str, str] | None, list[dict[str, Any]]]] = {}
    for run in runs:
        setting = setting_of(run["config"], keys)
        identity = None if setting is None else tuple(setting.items())
        found.setdefault(identity, (setting, []))[1].append(run)
    return list(found.values())
