"""Recovers strings that Hydra parsed as numbers or booleans: a column may be named 2020, 1e3 or true."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from seqlab.check import fits, hints_of, inside, located
from seqlab.errors import InputError
from seqlab.run.config import RunConfig
from seqlab.run.values import in_quotes, key_of, read


def with_typed(config: RunConfig, root: Callable[..., Any], overrides: Iterable[str]) -> RunConfig:
    """Apply the strings that `as_typed` finds to a configuration. Raises InputError like `as_typed`."""
    texts = as_typed(config.plain, root, overrides)
    return config.with_texts(texts) if texts else config


def as_typed(config: dict[str, Any], root: Callable[..., Any], overrides: Iterable[str]) -> dict[str, str]:
    """Find the overrides whose value was parsed as a number or boolean although a string is required.

    The annotation of the parameter decides, as in `seqlab.check.check`.

    Args:
        config: resolved, plain dicts, lists and scalars.
        root: a callable whose annotated parameters are the top-level keys.
        overrides: KEY=VALUE, as given to Hydra; the last one for a key counts.

    Returns:
        {key: characters of the value} for these keys only.

    Raises:
        InputError: the value is null, a list or a mapping, but a string is required; the message shows how to quote it.
    """
    found = {}
    for key, text in {key_of(text): text for text in overrides}.items():
        override = read(text)
        if override is None or override.is_delete() or isinstance(override.value(), str):
            continue
        annotation, value = _annotation(config, root, key.split(".")), text.partition("=")[2].strip()
        if annotation is not None and not fits(annotation, override.value()) and fits(annotation, value):
            if not isinstance(override.value(), int | float):
                quoted = in_quotes(text.partition("=")[0], value)
                raise InputError(f"{text}: a string is required; as a string it is {quoted}")
            found[key] = value
    return found


def _annotation(config: dict[str, Any], root: Callable[..., Any], key: Sequence[str]) -> Any:
    """The annotation of the parameter, or of the mapping's item, that a key sets; None if there is none."""
    hints, item = hints_of(root), None  # item: the annotation of all keys that hints lack
    node: Any = config
    for part in key[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
        hints, item = {}, inside(hints.get(part, item))
        if isinstance(node, dict) and "_target_" in node:
            try:
                hints, item = hints_of(located(node["_target_"])), None
            except Exception:  # check() reports the error
                return None
    return hints.get(key[-1], item)
