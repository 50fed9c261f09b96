"""Characters where a text is wanted and Hydra read a number: a column may be called 2020, 1e3 or true."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from seqlab.check import fits, hints_of, located
from seqlab.errors import InputError
from seqlab.run.config import RunConfig
from seqlab.run.values import in_quotes, key_of, read


def with_typed(config: RunConfig, root: Callable[..., Any], words: Iterable[str]) -> RunConfig:
    """A configuration with the characters that `as_typed` finds. Raises InputError as it does."""
    texts = as_typed(config.plain, root, words)
    return config.with_texts(texts) if texts else config


def as_typed(config: dict[str, Any], root: Callable[..., Any], words: Iterable[str]) -> dict[str, str]:
    """The characters of words that read as a number, or as true or false, where a text is wanted.

    The annotation of the parameter that takes the value decides, as it does in `seqlab.check.check`.

    Args:
        config: resolved, plain dicts, lists and scalars.
        root: a callable whose annotated parameters are the top-level keys.
        words: KEY=VALUE, as Hydra was given them; the last for a key counts.

    Returns:
        {key: characters} for those keys alone.

    Raises:
        InputError: for null, a list or a mapping where a text is wanted; the message has the word in quotes.
    """
    found = {}
    for key, word in {key_of(word): word for word in words}.items():
        override = read(word)
        if override is None or override.is_delete() or isinstance(override.value(), str):
            continue
        annotation, text = _annotation(config, root, key.split(".")), word.partition("=")[2].strip()
        if annotation is not None and not fits(annotation, override.value()) and fits(annotation, text):
            if not isinstance(override.value(), int | float):
                raise InputError(f"{word}: a text is wanted; this one is {in_quotes(word.partition('=')[0], text)}")
            found[key] = text
    return found


def _annotation(config: dict[str, Any], root: Callable[..., Any], key: Sequence[str]) -> Any:
    """The annotation of the parameter that a key sets; None where nothing says."""
    target: Callable[..., Any] | None = root
    node: Any = config
    for part in key[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
        target = None
        if isinstance(node, dict) and "_target_" in node:
            try:
                target = located(node["_target_"])
            except Exception:  # check() says what is wrong with it
                return None
    return None if target is None else hints_of(target).get(key[-1])
