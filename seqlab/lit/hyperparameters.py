"""The hyperparameters that every run logs to TensorBoard's HParams tab, whatever its model and data.

TensorBoard takes the tab's columns from one run of a folder, and cannot sort or filter a column that mixes numbers and
strings. So each run logs the keys of every choice in the configuration groups, each with one type.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import nan
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

ABSENT = "-"  # a key that a run does not have; for numeric keys it is nan, which TensorBoard shows as blank
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
PACKAGE = re.compile(r"^# *@package +(\S+)", re.MULTILINE)


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader, in C where it was built with it. Like OmegaConf's, it reads 1e-3 as a number."""


EXPONENT = re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


def hyperparameters(config: Mapping[str, Any]) -> dict[str, float | str]:
    """Flatten the configuration of a run to name -> number or string, including the keys of all other group choices.

    Args:
        config: resolved, plain types.

    Returns:
        names like model/num_layers. A key whose values in the groups are all numbers is a float, or nan if this run
        has no number; any other key is a string.
    """
    own = flattened(dict(config))
    types = types_of(list(choices()))
    for name, value in own.items():
        types.setdefault(name, float if isinstance(value, int | float) else str)
    return {name: _typed(own.get(name, ABSENT), of) for name, of in sorted(types.items())}


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


def _typed(value: Any, of: type) -> float | str:
    if of is float:
        return float(value) if isinstance(value, int | float) else nan
    return "null" if value is None else str(value)


def types_of(configs: list[dict[str, Any]]) -> dict[str, type]:
    """The type of each key over several configurations: float if all of its values are numbers, else str.

    >>> types_of([{"lr": 0.1, "total": "${steps}"}, {"steps": 9, "lr": None, "total": 5, "path": None}])
    {'lr': <class 'float'>, 'total': <class 'float'>, 'steps': <class 'float'>, 'path': <class 'str'>}
    """
    found: dict[str, list[Any]] = {}
    for config in configs:
        for name, value in flattened(config).items():
            found.setdefault(name, []).append(value)

    def numeric(name: str, asking: frozenset[str] = frozenset()) -> bool:
        said = [value for value in found.get(name, []) if value is not None]
        return bool(said) and name not in asking and all(is_number(value, asking | {name}) for value in said)

    def is_number(value: Any, asking: frozenset[str]) -> bool:
        reference = REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference is not None:
            return numeric(reference[1].replace(".", "/"), asking)
        return isinstance(value, int | float)

    return {name: float if numeric(name) else str for name in found}


def choices() -> Iterator[dict[str, Any]]:
    """Every choice of every group that the configuration of the current Hydra job uses; nothing outside a Hydra job.

    Each is nested as in the whole configuration, with unresolved interpolations. Unreadable files are skipped, because
    they were not chosen.
    """
    if not (GlobalHydra.instance().is_initialized() and HydraConfig.initialized()):
        return
    loader = GlobalHydra.instance().config_loader()
    waiting: list[tuple[str, str | None]] = [("", "")]  # a group, and the package that the defaults list gives it
    seen = set(waiting)
    while waiting:
        group, package = waiting.pop()
        names = options(loader, group) if group else [str(HydraConfig.get().job.config_name)]
        for name in names:
            with suppress(HydraException, OmegaConfBaseException, yaml.YAMLError, OSError):
                content, place, used = _read(loader, f"{group}/{name}".lstrip("/"), package)
                waiting += [new for new in used if new not in seen]
                seen.update(used)
                yield _nested(content, place)


def options(loader: ConfigLoader, group: str) -> list[str]:
    """The choices of a group. Hydra's own `get_group_options` copies its whole repository for each group."""
    sources = [source for source in loader.get_sources() if source.is_group(group)]
    return sorted({name for source in sources for name in source.list(group, ObjectType.CONFIG)})


def _read(loader: ConfigLoader, path: str, package: str | None) -> tuple[dict[str, Any], str, list[Any]]:
    """The content of a file, its package in the whole configuration, and the groups in its defaults list.

    A group inside itself (model@body: any model as the body of another) is followed once.
    """
    content, package_named = _parsed(next(source for source in loader.get_sources() if source.is_config(path)), path)
    if not isinstance(content, dict):
        return {}, "", []
    group = path.rpartition("/")[0]
    place = package_named or group.replace("/", ".") if package is None else package
    place = "" if place == "_global_" else place
    used = []
    for entry in content.pop("defaults", []):
        for key in entry if isinstance(entry, dict) else ():
            *words, name = key.split()
            if "override" not in words:
                name, _, where = name.partition("@")
                if where and place.endswith(f".{where}"):
                    continue
                if where and where != "_global_":
                    where = f"{place}.{where}".lstrip(".")
                used.append((name[1:] if name.startswith("/") else f"{group}/{name}".lstrip("/"), where or None))
    content.pop("hydra", None)
    return content, place, used


def _parsed(source: ConfigSource, path: str) -> tuple[Any, str | None]:
    """The content of a configuration, and the package that its header names.

    A file is parsed here: Hydra's way, by OmegaConf and a parser in Python, took half a second for all groups.
    """
    if source.scheme() != "file":
        result = source.load_config(path)
        return OmegaConf.to_container(result.config), result.header.get("package")
    text = (Path(source.path) / f"{path}.yaml").read_text(encoding="utf-8")
    named = PACKAGE.search(text)
    return yaml.load(text, Loader), named and named[1]


def _nested(content: dict[str, Any], place: str) -> dict[str, Any]:
    for name in reversed(place.split(".") if place else []):
        content = {name: content}
    return content
