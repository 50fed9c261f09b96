"""Prepares command-line overrides for Hydra: those that the user typed, and those that resume=RUN takes from a run.

The overrides stored with a run may come from an untrusted source (docs/security.md). Nothing here imports torch.
"""

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Glob, OverrideType

from seqlab import plugins
from seqlab.errors import InputError, refuse_bytes
from seqlab.files import at_home
from seqlab.run.directory import RunDirectory
from seqlab.run.sweep_overrides import for_each_job, parsed, with_sweep_names
from seqlab.run.values import key_of, placed, quoted, read, readable, text_of

LARGEST = 2**20  # bytes of .hydra/overrides.yaml; command lines are far shorter
SEARCH_PATH = "hydra.searchpath"
TARGET = re.compile(r"\b_target_: *([\w.]+)")  # in a run's configuration, without reading its YAML


@dataclass(frozen=True)
class Groups:
    """The configuration groups in some folders."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, conf: Path, overrides: Sequence[str], config_dir: str | None = None) -> "Groups":
        """The groups in conf, of the plug-ins, in the folder of --config-dir and in the folders of hydra.searchpath."""
        more = [*([] if config_dir is None else [config_dir]), *search_path(overrides)]
        return cls((conf, *plugins.folders(), *(Path(folder.removeprefix("file://")) for folder in more)))

    def __contains__(self, key: str) -> bool:
        return any((folder / key).is_dir() for folder in self.folders)

    def choices(self, key: str) -> list[str]:
        """The choices of a group."""
        return [path.stem for folder in self.folders for path in (folder / key).glob("*.yaml")]


def search_path(overrides: Sequence[str]) -> list[str]:
    """The folders in hydra.searchpath. As in Hydra, the first override of this key counts."""
    said = next((read(text) for text in overrides if text.startswith(f"{SEARCH_PATH}=")), None)
    value: Any = said.value() if said is not None and not said.is_sweep_override() else None
    return [folder for folder in value if isinstance(folder, str)] if isinstance(value, list) else []


def with_config_dir(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """Add a folder to hydra.searchpath, so that hydra.compose finds what `seqlab train` finds with --config-dir.

    Raises:
        InputError: there is no such folder.
    """
    if config_dir is None:
        return list(overrides)
    folder = at_home(config_dir).resolve()
    if not folder.is_dir():
        raise InputError(f"--config-dir {config_dir}: no such folder")
    folders = ",".join(map(quoted, [f"file://{folder}", *search_path(overrides)]))
    return [*(text for text in overrides if not text.startswith(f"{SEARCH_PATH}=")), f"{SEARCH_PATH}=[{folders}]"]


def prepared(arguments: Sequence[str], conf: Path) -> list[str]:
    """Translate the command-line arguments that a user typed into those that Hydra gets. See the functions below.

    Args:
        arguments: of the command line, without the script.
        conf: the folder of the configuration groups.
    """
    options, flags, typed = split(arguments)
    if options.experimental_rerun is not None:
        raise InputError("--experimental-rerun unpickles a file, which can run anything; allowed: resume=RUN")
    if options.multirun and (options.cfg or options.info):
        raise InputError("-m runs a sweep, --cfg and --info show the configuration of one run: leave one of them out")
    if options.config_path is not None and "://" not in options.config_path:
        # relative to the folder around conf, as if this command were a script there
        flags.append(f"--config-path={conf.parent / options.config_path}")
    groups = Groups.of(conf.parent / (options.config_path or conf), typed, options.config_dir)
    own = _readable(with_resume(typed, groups, sweep=options.multirun), groups, sweep=options.multirun)
    refuse_empty_sweep(own, groups)
    if not options.multirun:
        return [*own, *flags]
    return [*for_each_job(with_sweep_names(own, sources(options, own)), groups.__contains__), *flags]


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether --help is asked for, with our own and the plug-ins' configurations alone.

    Raises:
        InputError: an option is unknown.
    """
    options, flags, typed = split(arguments)
    return options.help and set(flags) <= {"--help", "-h"} and not search_path(typed)


def split(arguments: Sequence[str]) -> tuple[Namespace, list[str], list[str]]:
    """Split command-line arguments into Hydra's options and overrides.

    Returns:
        the parsed options, the arguments that form them, and the overrides.

    Raises:
        InputError: an option is unknown.
    """

    def refuse(message: str) -> NoReturn:
        unknown = message.startswith("unrecognized arguments")
        raise InputError(message + "; a setting is KEY=VALUE without dashes, such as model=lstm" * unknown)

    parser = get_args_parser()
    parser.error = refuse
    options = parser.parse_intermixed_args(arguments)
    own: list[str] = options.overrides
    flags = []
    rest = iter([*own, None])
    following = next(rest)
    for argument in arguments:
        if argument == following:
            following = next(rest)
        elif argument != "--":
            flags.append(argument)
    return options, flags, own


def readable_overrides(overrides: Sequence[str], conf: Path) -> list[str]:
    """Rewrite the overrides of a run so that Hydra can parse them; see seqlab/run/values.py.

    Raises:
        InputError: an override is invalid; the message names it and shows how to quote it.
    """
    return _readable(overrides, Groups.of(conf, overrides))


def _readable(overrides: Sequence[str], groups: Groups, *, sweep: bool = False) -> list[str]:
    for text in overrides:
        refuse_bytes(text)
    return [readable(text, sweep=sweep, is_group=groups.__contains__) for text in overrides]


def with_resume(overrides: Sequence[str], groups: Groups, *, sweep: bool = False) -> list[str]:
    """Expand resume=RUN: the overrides that started RUN, then the given ones, in RUN's directory.

    A given override replaces the stored one of the same key. resume=auto and resume=null are left as they are.

    Args:
        overrides: of the command line.
        groups: the configuration groups.
        sweep: whether the command is a sweep (-m).

    Raises:
        InputError: RUN is not a run directory, its overrides are unsafe (`refuse_unsafe`), it was made with a plug-in
            that takes no part here, or the command also asks for a sweep or another directory.
    """
    runs = [text_of(text) for text in overrides if text.startswith("resume=")]
    if not runs or runs[-1] in ("auto", "null", ""):
        return list(overrides)
    run = RunDirectory(at_home(runs[-1]))
    if sweep:
        raise InputError(f"resume={run.path} is one run; a sweep takes resume=auto with its hydra.sweep.dir")
    own = [text for text in overrides if not text.startswith("resume=")]
    if any(key_of(text) == "hydra.run.dir" for text in own):
        raise InputError(f"resume={run.path} continues in that directory: leave hydra.run.dir out")
    said = {key_of(text) for text in own}
    kept = [text for text in overrides_of(run) if key_of(text) not in said | {"resume"}]
    old = _readable(kept, groups)
    for text in old:
        refuse_unsafe(text, run, groups)
    refuse_links_out(run)
    refuse_without_plugin(run)
    return [*old, *own, "resume=auto", placed("hydra.run.dir", run.path.resolve())]


def overrides_of(run: RunDirectory) -> list[str]:
    """Read the overrides that started a run from its directory.

    Raises:
        InputError: the file is missing or damaged.
    """
    file = run.overrides
    if not file.is_file():
        reason = "holds no run" if run.path.is_dir() else "no such directory"
        raise InputError(f"resume={run.path}: {reason}; allowed: auto, or the directory of a run")
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has {file.stat().st_size} bytes")
        overrides = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{file} is damaged: {error}") from error
    if not (isinstance(overrides, list) and all(isinstance(text, str) for text in overrides)):
        raise InputError(f"{file} is damaged: it is not a list of overrides")
    return overrides


def refuse_unsafe(text: str, run: RunDirectory, groups: Groups) -> None:
    """Raise InputError for a stored override that does more than set an existing key or choose from a group.

    Hydra's own keys can construct objects of any package, a new key may be one that Hydra reads, and a choice like
    `experiment=../../RUN/file` loads a file from anywhere. A user who wants such an override must type it again.

    Args:
        text: one of `overrides_of(run)`.
        run: the directory of the run.
        groups: the configuration groups.
    """
    file = run.overrides
    again = "to use it anyway, type it on the command line"
    override = read(text)
    if override is None:
        raise InputError(f"{file}: {text!r} is not an override")
    key = override.get_key_element()
    if key.lstrip("+~").startswith("hydra") or "@" in key:
        raise InputError(f"{file}: {text} sets Hydra itself, which a run directory must not")
    if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD):
        raise InputError(f"{file}: {text} adds a key, which a run directory must not; {again}")
    if override.is_sweep_override():
        raise InputError(f"{file}: {text} is a sweep, and a run has one value for each key")
    value = override.value()
    choices = map(str, value if isinstance(value, list) else [value])
    if override.key_or_group in groups and any(_leaves(choice) for choice in choices):
        raise InputError(f"{file}: {text} names a file outside of the configuration, which a run directory must not")


def _leaves(choice: str) -> bool:
    """Whether the choice of a group may lead out of the group's folder."""
    path = PurePosixPath(choice.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or "$" in choice


def refuse_without_plugin(run: RunDirectory) -> None:
    """Raise InputError if a run was made with a package that is no plug-in here: its choices would not be found.

    A configuration that cannot be read is left to seqlab/run/resume.py.
    """
    from seqlab.check import possible_plugin  # imports pydantic

    try:
        text = run.config.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    for target in TARGET.findall(text):
        if package := possible_plugin(target):
            raise InputError(
                f"resume={run.path}: the run was made with {package}, which is no plug-in here; "
                f"if you trust {package}: {plugins.VARIABLE}={package}"
            )


def refuse_links_out(run: RunDirectory) -> None:
    """Raise InputError if a symbolic link leads out of a run directory: writing to it would write elsewhere."""
    inside = run.path.resolve()
    for folder, folders, files in os.walk(run.path):
        if Path(folder) == run.wandb:  # W&B creates its own links there, and a new folder each time
            folders.clear()
            continue
        for path in (Path(folder) / name for name in [*folders, *files]):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise InputError(f"{path} is a link out of the run directory: put the file itself there")


def refuse_empty_sweep(overrides: Sequence[str], groups: Groups) -> None:
    """Raise InputError for an override that sweeps over nothing: Hydra would launch no job and report success.

    Args:
        overrides: of the command line.
        groups: the configuration groups.
    """
    for text in overrides:
        if "=range(" in text or "=glob(" in text:
            override = parsed(text)
            value = override.value()
            if isinstance(value, Glob):
                empty = not value.filter(groups.choices(override.key_or_group))
            else:
                empty = not list(override.sweep_iterator())
            if empty:
                raise InputError(f"{text} is an empty sweep")


def sources(options: Namespace, overrides: Sequence[str]) -> Iterator[str]:
    """The options and overrides that set where Hydra finds configurations; the jobs of a sweep need them too."""
    for name in ("config_path", "config_name", "config_dir"):
        if (value := getattr(options, name)) is not None:
            yield f"--{name.replace('_', '-')}={value}"
    yield from (text for text in overrides if text.startswith(f"{SEARCH_PATH}="))
