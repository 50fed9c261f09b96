"""In which keys the configurations of runs differ, apart from the seed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqlab.run.config import deciding

# They tell runs apart that are nevertheless seeds of one setting, or say only what a run is called.
NO_SETTING = ("seed", "name")

Config = Mapping[str, str]  # dotted key -> value in words


def tried(config: Config) -> dict[str, str]:
    """The keys that decide what is trained, the seed aside."""
    return {key: value for key, value in deciding(config).items() if key.partition(".")[0] not in NO_SETTING}


def differing_keys(configs: Iterable[Config | None]) -> list[str]:
    """The deciding keys that do not have one value in all configurations, or are missing in some.

    >>> differing_keys([{"seed": "1", "lr": "1", "d": "2"}, {"seed": "2", "lr": "3", "d": "2"}, None])
    ['lr']
    """
    known = [tried(config) for config in configs if config is not None]
    keys = dict.fromkeys(key for config in known for key in config)
    return [key for key in keys if len({config.get(key) for config in known}) > 1]


def setting_of(config: Config | None, keys: Sequence[str]) -> dict[str, str] | None:
    """A run's values of the differing keys; a key that it does not have is left out. None without a configuration."""
    return None if config is None else {key: config[key] for key in keys if key in config}


def words(setting: Mapping[str, str] | None) -> str:
    """A setting as it is written behind the name of a model.

    >>> words({"optimizer.lr": "0.002", "schedule._target_": "seqlab.schedule.ConstantRate"})
    'optimizer.lr=0.002 schedule=ConstantRate'
    >>> words(None)
    '(no configuration kept)'
    """
    if setting is None:
        return "(no configuration kept)"
    return " ".join(
        f"{key.removesuffix('._target_')}={value.rpartition('.')[2]}" if key.endswith("._target_") else f"{key}={value}"
        for key, value in setting.items()
    )


def settings_of(runs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, str] | None, list[dict[str, Any]]]]:
    """Runs of one data x model, shared out to their settings, in the order of first appearance."""
    keys = differing_keys(run["config"] for run in runs)
    found: dict[Any, tuple[dict[str, str] | None, list[dict[str, Any]]]] = {}
    for run in runs:
        setting = setting_of(run["config"], keys)
        identity = None if setting is None else tuple(setting.items())
        found.setdefault(identity, (setting, []))[1].append(run)
    return list(found.values())
