"""The words of a command line, before Hydra reads them. Nothing here imports torch."""

import hashlib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Glob, Override

from seqlab.errors import InputError, refuse_bytes
from seqlab.files import at_home
from seqlab.run.begun import refuse_links_out, refuse_unsafe, words_of
from seqlab.run.directory import folder_name, key_of
from seqlab.run.values import as_printed, quoted, read, readable, text_of, unquoted


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
    own = readable_words(with_resume(typed, conf, sweep=options.multirun), conf, sweep=options.multirun)
    refuse_empty_sweep(own, conf)
    return [*(with_sweep_names(own) if options.multirun else own), *flags]


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


def readable_words(words: Sequence[str], conf: Path, *, sweep: bool = False) -> list[str]:
    """The words of a run as Hydra can read them; see seqlab/run/values.py.

    Raises:
        InputError: names the word that is none, and how to quote it.
    """
    for word in words:
        refuse_bytes(word)
    return [readable(word, sweep=sweep, is_group=lambda key: (conf / key).is_dir()) for word in words]


def with_resume(words: Sequence[str], conf: Path, *, sweep: bool = False) -> list[str]:
    """Command-line words, with resume=RUN written out: the words that began RUN, then these, in RUN's directory.

    A key that is said anew replaces the old word. resume=auto and resume=null stay as they are.

    Args:
        words: of the command line.
        conf: the folder of the configuration groups.
        sweep: whether they are of a sweep (-m).

    Raises:
        InputError: when RUN is no run directory, or holds what no command may take from one (seqlab/run/begun.py), or
            where one directory cannot be meant.
    """
    runs = [text_of(word) for word in words if word.startswith("resume=")]
    if not runs or runs[-1] in ("auto", "null", ""):
        return list(words)
    run = at_home(runs[-1])
    if sweep:
        raise InputError(f"resume={run} is one run; a sweep takes resume=auto with its hydra.sweep.dir")
    own = [word for word in words if not word.startswith("resume=")]
    if any(key_of(word) == "hydra.run.dir" for word in own):
        raise InputError(f"resume={run} goes on in that directory: leave hydra.run.dir out")
    said = {key_of(word) for word in own}
    kept = [word for word in words_of(run) if key_of(word) not in said | {"resume"}]
    old = readable_words(kept, conf)
    for word in old:
        refuse_unsafe(word, run, conf)
    refuse_links_out(run)
    return [*old, *own, "resume=auto", f"hydra.run.dir={quoted(run.resolve())}"]


def refuse_empty_sweep(words: Sequence[str], conf: Path) -> None:
    """Raise InputError where a word sweeps over nothing: Hydra would launch no job and report success.

    Args:
        words: of the command line.
        conf: the folder of the configuration groups.
    """
    for word in words:
        if "=range(" in word or "=glob(" in word:
            override = parsed(word)
            value = override.value()
            if isinstance(value, Glob):
                empty = not value.filter([path.stem for path in (conf / override.key_or_group).glob("*.yaml")])
            else:
                empty = not list(override.sweep_iterator())
            if empty:
                raise InputError(f"{word} is an empty sweep")


def parsed(word: str) -> Override:
    """A word as Hydra reads it, which it can."""
    override = read(word)
    assert override is not None, word
    return override


def with_sweep_names(words: Sequence[str]) -> list[str]:
    """A sweep's words, how its folders are called, and how numbers were typed (Hydra's sweeper prints 1e3 as 1000.0).

    Without hydra.sweep.dir the sweep's is named by all of its words, so that the same command finds its runs again. A
    job's is named by what is swept over.
    """
    own = [word for word in words if "=" in word and not word.startswith("hydra")]
    swept = {key_of(word) for word in own if parsed(word).is_sweep_override()}
    constant = {key_of(word) for word in own} - swept
    hidden = sorted({"model", "data", "resume", *constant})
    names = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(hidden)}]"]
    if not any(key_of(word) == "hydra.sweep.dir" for word in words):
        plain = [unquoted(word) for word in own]
        digest = hashlib.sha256("\n".join(sorted(plain)).encode()).hexdigest()[:8]
        names.append(f"hydra.sweep.dir='outputs/multirun/{folder_name(','.join(plain), digest)}'")
    pairs = [text for word in own for pair in as_printed(word).items() for text in pair]
    if pairs:
        names.append(f"hydra.callbacks.sweep_folder.typed=[{','.join(map(quoted, pairs))}]")
    return [*words, *names]
