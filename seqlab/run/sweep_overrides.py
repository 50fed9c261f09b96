"""The overrides of a sweep: the names of its folders, and what only its jobs read. Nothing here imports torch."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from hydra.core.override_parser.types import Override

from seqlab.run.config import folder_name
from seqlab.run.values import as_printed, key_of, placed, quoted, read, unquoted


def parsed(text: str) -> Override:
    """Parse an override that Hydra is known to be able to parse."""
    override = read(text)
    assert override is not None, text
    return override


def with_sweep_names(overrides: Sequence[str], sources: Iterable[str]) -> list[str]:
    """Add to a sweep's overrides the names of its folders, and what its jobs need besides the overrides from Hydra.

    Without hydra.sweep.dir the sweep directory is named after all overrides, with a hash of them and `sources`, so that
    the same command finds its runs again. A job's directory is named after the swept keys. A job needs `sources`, and
    how numbers were typed, because Hydra's sweeper prints 1e3 as 1000.0.
    """
    own = [text for text in overrides if "=" in text and not text.startswith("hydra")]
    swept = {key_of(text) for text in own if parsed(text).is_sweep_override()}
    constant = {key_of(text) for text in own} - swept
    hidden = sorted({"model", "data", "resume", *constant})
    places = list(sources)
    names = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(hidden)}]"]
    if not any(key_of(text) == "hydra.sweep.dir" for text in overrides):
        plain = [unquoted(text) for text in own]
        digest = hashlib.sha256("\n".join([*sorted(plain), *places]).encode()).hexdigest()[:8]
        names.append(placed("hydra.sweep.dir", f"outputs/multirun/{folder_name(','.join(plain), digest)}"))
    pairs = [form for text in own for pair in as_printed(text).items() for form in pair]
    for key, texts in (("typed", pairs), ("sources", places)):
        if texts:
            names.append(f"hydra.callbacks.sweep_folder.{key}=[{','.join(map(quoted, texts))}]")
    return [*overrides, *names]


def for_each_job(overrides: Sequence[str], is_group: Callable[[str], bool]) -> list[str]:
    """Leave the keys of a sweep to its jobs where these may choose different models or data.

    Hydra first composes a configuration for the sweep itself, from the default choices, and would refuse a key that
    only the choices of jobs have. A sweep over one value is not part of that configuration. Hydra composes the
    configuration of every job before it starts the first, and refuses a key that a job's choices do not have.

    Args:
        overrides: in a form that Hydra can parse.
        is_group: whether a key is a configuration group.

    >>> for_each_job(["data=parity,S3", "data.test_lengths=[8]"], is_group="data".__eq__)
    ['data=parity,S3', 'data.test_lengths=choice([8])']
    """
    if not any(_may_differ(text, is_group) for text in overrides):
        return list(overrides)
    whole = "\n".join(overrides)

    def stays(key: str) -> bool:
        return is_group(key) or f"${{{key}}}" in whole

    return [text if stays(key_of(text)) else _as_sweep(text) for text in overrides]


def _may_differ(text: str, is_group: Callable[[str], bool]) -> bool:
    """Whether an override gives jobs different choices: it sweeps over a group, or an experiment may do so."""
    return key_of(text) == "experiment" or (is_group(key_of(text)) and parsed(text).is_sweep_override())


def _as_sweep(text: str) -> str:
    """KEY=VALUE as a sweep over one value, if the key is in a group and a job gets the same characters; else as is."""
    override, (key, _, value) = parsed(text), text.partition("=")
    if override.is_sweep_override() or "." not in key or key.startswith("hydra.") or not value:
        return text
    once = read(f"{key}=choice({value})")
    same = (
        once is not None
        and once.is_sweep_override()
        and override.get_value_element_as_str() in (list(once.sweep_string_iterator()))
    )
    return f"{key}=choice({value})" if same else text
