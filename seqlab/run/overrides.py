"""The words of a command line, before Hydra reads them: a user's own, and those that resume=RUN takes from a run.

Somebody else may have written the words of a run: docs/security.md. Nothing here imports torch.
"""

import hashlib
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Glob, Override, OverrideType

from seqlab.errors import InputError, refuse_bytes
from seqlab.files import at_home
from seqlab.run.config import folder_name
from seqlab.run.directory import RunDirectory
from seqlab.run.values import as_printed, key_of, placed, quoted, read, readable, text_of, unquoted

LARGEST = 2**20  # bytes of .hydra/overrides.yaml; a command line is far shorter
SEARCH_PATH = "hydra.searchpath"


@dataclass(frozen=True)
class Groups:
    """The groups of choices in some folders of configurations."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, conf: Path, words: Sequence[str], config_dir: str | None = None) -> "Groups":
        """The groups in conf, in the folder of --config-dir and in those of hydra.searchpath."""
        more = [*([] if config_dir is None else [config_dir]), *search_path(words)]
        return cls((conf, *(Path(folder.removeprefix("file://")) for folder in more)))

    def __contains__(self, key: str) -> bool:
        return any((folder / key).is_dir() for folder in self.folders)

    def choices(self, key: str) -> list[str]:
        """The names from which a group chooses."""
        return [path.stem for folder in self.folders for path in (folder / key).glob("*.yaml")]


def search_path(words: Sequence[str]) -> list[str]:
    """The further folders of configurations that words name, as Hydra reads them: the first such word counts."""
    said = next((read(word) for word in words if word.startswith(f"{SEARCH_PATH}=")), None)
    value: Any = said.value() if said is not None and not said.is_sweep_override() else None
    return [folder for folder in value if isinstance(folder, str)] if isinstance(value, list) else []


def with_config_dir(words: Sequence[str], config_dir: str | None) -> list[str]:
    """Words by which hydra.compose finds what run.py finds by --config-dir.

    Raises:
        InputError: when there is no such folder.
    """
    if config_dir is None:
        return list(words)
    folder = at_home(config_dir).resolve()
    if not folder.is_dir():
        raise InputError(f"--config-dir {config_dir}: no such folder")
    folders = ",".join(map(quoted, [f"file://{folder}", *search_path(words)]))
    return [*(word for word in words if not word.startswith(f"{SEARCH_PATH}=")), f"{SEARCH_PATH}=[{folders}]"]


def prepared(words: Sequence[str], conf: Path) -> list[str]:
    """The words that Hydra gets for those that a user typed; see the functions below.

    Args:
        words: of the command line, without the script.
        conf: the folder of the configuration groups.
    """
    options, flags, typed = split(words)
    if options.experimental_rerun is not None:
        raise InputError("--experimental-rerun unpickles a file, which can run anything; allowed: resume=RUN")
    if options.multirun and (options.cfg or options.info):
        raise InputError("-m runs a sweep, --cfg and --info show the configuration of one run: leave one of them out")
    groups = Groups.of(conf.parent / (options.config_path or conf), typed, options.config_dir)
    own = _readable(with_resume(typed, groups, sweep=options.multirun), groups, sweep=options.multirun)
    refuse_empty_sweep(own, groups)
    return [*(with_sweep_names(own, sources(options, own)) if options.multirun else own), *flags]


def split(words: Sequence[str]) -> tuple[Namespace, list[str], list[str]]:
    """Hydra's options: as it reads them, and the words that they take up; then all other words.

    Raises:
        InputError: for an option that there is not.
    """

    def refuse(message: str) -> NoReturn:
        raise InputError(message)

    parser = get_args_parser()
    parser.error = refuse
    options = parser.parse_intermixed_args(words)
    own: list[str] = options.overrides
    flags = []
    rest = iter([*own, None])
    following = next(rest)
    for word in words:
        if word == following:
            following = next(rest)
        elif word != "--":
            flags.append(word)
    return options, flags, own


def readable_words(words: Sequence[str], conf: Path) -> list[str]:
    """The words of a run as Hydra can read them; see seqlab/run/values.py.

    Raises:
        InputError: names the word that is none, and how to quote it.
    """
    return _readable(words, Groups.of(conf, words))


def _readable(words: Sequence[str], groups: Groups, *, sweep: bool = False) -> list[str]:
    for word in words:
        refuse_bytes(word)
    return [readable(word, sweep=sweep, is_group=groups.__contains__) for word in words]


def with_resume(words: Sequence[str], groups: Groups, *, sweep: bool = False) -> list[str]:
    """Command-line words, with resume=RUN written out: the words that began RUN, then these, in RUN's directory.

    A key that is said anew replaces the old word. resume=auto and resume=null stay as they are.

    Args:
        words: of the command line.
        groups: from which words choose.
        sweep: whether they are of a sweep (-m).

    Raises:
        InputError: when RUN is no run directory, or holds what no command may take from one (`refuse_unsafe`), or
            where one directory cannot be meant.
    """
    runs = [text_of(word) for word in words if word.startswith("resume=")]
    if not runs or runs[-1] in ("auto", "null", ""):
        return list(words)
    run = RunDirectory(at_home(runs[-1]))
    if sweep:
        raise InputError(f"resume={run.path} is one run; a sweep takes resume=auto with its hydra.sweep.dir")
    own = [word for word in words if not word.startswith("resume=")]
    if any(key_of(word) == "hydra.run.dir" for word in own):
        raise InputError(f"resume={run.path} goes on in that directory: leave hydra.run.dir out")
    said = {key_of(word) for word in own}
    kept = [word for word in words_of(run) if key_of(word) not in said | {"resume"}]
    old = _readable(kept, groups)
    for word in old:
        refuse_unsafe(word, run, groups)
    refuse_links_out(run)
    return [*old, *own, "resume=auto", placed("hydra.run.dir", run.path.resolve())]


def words_of(run: RunDirectory) -> list[str]:
    """The words that began a run, as they stand in its directory.

    Raises:
        InputError: when there are none, or the file is damaged.
    """
    file = run.overrides
    if not file.is_file():
        reason = "holds no run" if run.path.is_dir() else "no such directory"
        raise InputError(f"resume={run.path}: {reason}; allowed: auto, or the directory of a run")
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has {file.stat().st_size} bytes")
        words = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{file} is damaged: {error}") from error
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise InputError(f"{file} is damaged: it is no list of words")
    return words


def refuse_unsafe(word: str, run: RunDirectory, groups: Groups) -> None:
    """Raise InputError for a word of a run directory that could do more than choose and set what there is to set.

    Hydra's own keys construct objects of any package, a new key may be one that Hydra reads, and a choice like
    `experiment=../../RUN/file` is a file from anywhere. Whoever means such a word says it again.

    Args:
        word: one of `words_of(run)`.
        run: the directory of the run.
        groups: from which words choose.
    """
    file = run.overrides
    again = "to take it all the same, say it on the command line"
    override = read(word)
    if override is None:
        raise InputError(f"{file}: {word!r} is no word of a command line")
    key = override.get_key_element()
    if key.lstrip("+~").startswith("hydra") or "@" in key:
        raise InputError(f"{file}: {word} sets Hydra itself, which a run directory must not")
    if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD):
        raise InputError(f"{file}: {word} adds a key, which a run directory must not; {again}")
    if override.is_sweep_override():
        raise InputError(f"{file}: {word} is a sweep, and a run has one value for each key")
    value = override.value()
    choices = map(str, value if isinstance(value, list) else [value])
    if override.key_or_group in groups and any(_leaves(choice) for choice in choices):
        raise InputError(f"{file}: {word} names a file outside of the configuration, which a run directory must not")


def _leaves(choice: str) -> bool:
    """Whether the choice of a group is no plain name below its folder."""
    path = PurePosixPath(choice.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or "$" in choice


def refuse_links_out(run: RunDirectory) -> None:
    """Raise InputError where a link inside a run directory leads out of it: writing there writes elsewhere."""
    inside = run.path.resolve()
    for folder, folders, files in os.walk(run.path):
        if Path(folder) == run.wandb:  # W&B keeps links of its own there, and begins a new folder each time
            folders.clear()
            continue
        for path in (Path(folder) / name for name in [*folders, *files]):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise InputError(f"{path} is a link out of the run directory: put the file itself there")


def refuse_empty_sweep(words: Sequence[str], groups: Groups) -> None:
    """Raise InputError where a word sweeps over nothing: Hydra would launch no job and report success.

    Args:
        words: of the command line.
        groups: from which words choose.
    """
    for word in words:
        if "=range(" in word or "=glob(" in word:
            override = parsed(word)
            value = override.value()
            if isinstance(value, Glob):
                empty = not value.filter(groups.choices(override.key_or_group))
            else:
                empty = not list(override.sweep_iterator())
            if empty:
                raise InputError(f"{word} is an empty sweep")


def parsed(word: str) -> Override:
    """A word as Hydra reads it, which it can."""
    override = read(word)
    assert override is not None, word
    return override


def sources(options: Namespace, words: Sequence[str]) -> Iterator[str]:
    """The options and words that say where Hydra finds configurations; a job of a sweep needs them too."""
    for name in ("config_path", "config_name", "config_dir"):
        if (value := getattr(options, name)) is not None:
            yield f"--{name.replace('_', '-')}={value}"
    yield from (word for word in words if word.startswith(f"{SEARCH_PATH}="))


def with_sweep_names(words: Sequence[str], sources: Iterator[str]) -> list[str]:
    """A sweep's words, how its folders are called, and what its jobs need beside the words that Hydra gives them.

    Without hydra.sweep.dir the sweep's is named by all of its words, so that the same command finds its runs again. A
    job's is named by what is swept over. A job needs `sources`, and how numbers were typed (Hydra's sweeper prints 1e3
    as 1000.0).
    """
    own = [word for word in words if "=" in word and not word.startswith("hydra")]
    swept = {key_of(word) for word in own if parsed(word).is_sweep_override()}
    constant = {key_of(word) for word in own} - swept
    hidden = sorted({"model", "data", "resume", *constant})
    names = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(hidden)}]"]
    if not any(key_of(word) == "hydra.sweep.dir" for word in words):
        plain = [unquoted(word) for word in own]
        digest = hashlib.sha256("\n".join(sorted(plain)).encode()).hexdigest()[:8]
        names.append(placed("hydra.sweep.dir", f"outputs/multirun/{folder_name(','.join(plain), digest)}"))
    pairs = [text for word in own for pair in as_printed(word).items() for text in pair]
    for key, texts in (("typed", pairs), ("sources", list(sources))):
        if texts:
            names.append(f"hydra.callbacks.sweep_folder.{key}=[{','.join(map(quoted, texts))}]")
    return [*words, *names]
