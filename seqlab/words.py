"""The words of a command line, before Hydra reads them. Nothing here imports torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from seqlab.begun import refuse_links_out, refuse_unsafe, words_of
from seqlab.errors import InputError
from seqlab.job import folder_name, key_of

SWEEP = {"-m", "--multirun"}


def prepared(words: Sequence[str], conf: Path) -> list[str]:
    """The words that Hydra gets for those that a user typed; see the functions below.

    Args:
        words: of the command line, without the script.
        conf: the folder of the configuration groups.
    """
    if SWEEP & set(words) and {"--cfg", "-c", "--info", "-i"} & set(words):
        raise InputError("-m runs a sweep, --cfg and --info show the configuration of one run: leave one of them out")
    refuse_empty_sweep(words, conf)
    return with_sweep_names(with_resume(words, conf))


def with_resume(words: Sequence[str], conf: Path) -> list[str]:
    """Command-line words, with resume=RUN written out: the words that began RUN, then these, in RUN's directory.

    A key that is said anew replaces the old word. resume=auto and resume=null stay as they are.

    Args:
        words: of the command line.
        conf: the folder of the configuration groups.

    Raises:
        InputError: when RUN is no run directory, or holds what no command may take from one (seqlab/begun.py), or
            where one directory cannot be meant.
    """
    runs = [word.partition("=")[2] for word in words if word.startswith("resume=")]
    if not runs or runs[-1] in ("auto", "null", ""):
        return list(words)
    run = Path(runs[-1])
    if SWEEP & set(words):
        raise InputError(f"resume={run} is one run; a sweep takes resume=auto with its hydra.sweep.dir")
    own = [word for word in words if not word.startswith("resume=")]
    if any(key_of(word) == "hydra.run.dir" for word in own):
        raise InputError(f"resume={run} goes on in that directory: leave hydra.run.dir out")
    said = {key_of(word) for word in own}
    old = [word for word in words_of(run) if key_of(word) not in said | {"resume"}]
    for word in old:
        refuse_unsafe(word, run, conf)
    refuse_links_out(run)
    directory = str(run.resolve()).replace("\\", "\\\\").replace("'", "\\'")
    return [*old, *own, "resume=auto", f"hydra.run.dir='{directory}'"]


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
    """A word as Hydra reads it. Raises InputError where it cannot."""
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise InputError(f"{word}: {error}") from error


def with_sweep_names(words: Sequence[str]) -> list[str]:
    """A sweep's words, and how its folders are called.

    Without hydra.sweep.dir the sweep's is named by all of its words, so that the same command finds its runs again. A
    job's is named by what is swept over.
    """
    if not SWEEP & set(words):
        return list(words)
    own = [word for word in words if "=" in word and not word.startswith(("hydra", "-"))]
    swept = {key_of(word) for word in own if parsed(word).is_sweep_override()}
    constant = {key_of(word) for word in own} - swept
    hidden = sorted({"model", "data", "resume", *constant})
    names = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(hidden)}]"]
    if not any(key_of(word) == "hydra.sweep.dir" for word in words):
        digest = hashlib.sha256("\n".join(sorted(own)).encode()).hexdigest()[:8]
        names.append(f"hydra.sweep.dir='outputs/multirun/{folder_name(','.join(own), digest)}'")
    options = [place for place, word in enumerate(words) if "=" in word and not word.startswith("-")]
    behind = options[-1] + 1 if options else len(words)
    return [*words[:behind], *names, *words[behind:]]  # argparse wants them together
