"""The groups, choices and keys of a command line, read from the YAML files in milliseconds.

Hydra finds the same, but copies its whole configuration for each group that it lists: a second or more. That is too
slow for help and for a shell that completes a word. What a run gets is composed by Hydra alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PACKAGE = re.compile(r"^# *@package +(\S+)", re.MULTILINE)
REFERENCE = re.compile(r"\$\{(\w+)(?:@\w+)?\}")  # in a defaults list: the choice of another group


def groups(folders: Iterable[Path]) -> dict[str, list[str]]:
    """The groups that are not Hydra's own, each with its choices, both sorted.

    Args:
        folders: folders of configuration groups.
    """
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.rglob("*.yaml"):
            name = file.parent.relative_to(folder).as_posix()
            if name.partition("/")[0] not in (".", "hydra"):
                found.setdefault(name, set()).add(file.stem)
    return {name: sorted(found[name]) for name in sorted(found)}


def selectable(conf: Path) -> list[str]:
    """The groups in the defaults list of config.yaml, from which a command line can choose, in its order."""
    entries = yaml.load((conf / "config.yaml").read_text(encoding="utf-8"), LOADER)["defaults"]
    return [name for entry in entries if isinstance(entry, dict) for name in entry if " " not in name]


def keys(folders: Sequence[Path], overrides: Iterable[str]) -> list[str]:
    """The keys of the configuration that some overrides choose, with dots, sorted.

    Args:
        folders: folders of configuration groups, the first of which has config.yaml.
        overrides: GROUP=CHOICE among them count.
    """
    chosen: dict[str, Any] = dict(text.lstrip("+").split("=", 1) for text in overrides if "=" in text)
    while True:
        found, overridden = _read(folders, chosen)
        if overridden.keys() <= chosen.keys():
            return sorted(found)
        chosen = overridden | chosen  # a data set may choose another schedule, and what is typed wins


def _read(folders: Sequence[Path], chosen: Mapping[str, Any]) -> tuple[set[str], dict[str, Any]]:
    """The keys of the files that are used, and the choices with which these override others."""
    found: set[str] = set()
    overridden: dict[str, Any] = {}
    choices: dict[str, Any] = {}
    waiting: list[tuple[str, str, str | None]] = [("", "config", "")]  # a group, a choice, the place of its keys
    for group, referring, place in waiting:
        choice = REFERENCE.sub(lambda match: str(choices.get(match[1])), referring)
        files = [file for folder in folders if (file := folder / group / f"{choice}.yaml").is_file()]
        text = files[0].read_text(encoding="utf-8") if files else ""
        content = yaml.load(text, LOADER) or {}
        if named := PACKAGE.search(text):
            place = named[1]
        elif place is None:
            place = group.replace("/", ".")
        new: list[tuple[str, str, str | None]] = []
        for entry in content.pop("defaults", []):
            if isinstance(entry, str):
                new += [(group, entry, place)] * (entry != "_self_")
                continue
            ((words, choice),) = entry.items()
            name, _, at = words.split()[-1].partition("@")
            name = name[1:] if name.startswith("/") else f"{group}/{name}".lstrip("/")
            if "override" in words.split():
                overridden[name] = choice
                continue
            choices[name] = choice = chosen.get(name, choice)
            if choice is not None:
                new.append((name, str(choice), at or None))
        waiting += [use for use in new if use not in waiting]  # files that use each other in a circle would not end
        content.pop("hydra", None)
        found.update(leaves(content, "" if place == "_global_" else place))
    return found, overridden


def leaves(content: dict[str, Any], path: str = "") -> Iterator[str]:
    """The keys of a nested configuration with dots, without those that begin with _.

    >>> list(leaves({"seed": 1, "model": {"_target_": "a.B", "d_model": 8}}))
    ['seed', 'model.d_model']
    """
    for key, value in content.items():
        name = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and value:
            yield from leaves(value, name)
        elif not str(key).startswith("_"):
            yield name
