"""Checks a configuration against the annotations of what it will construct, before anything runs.

A node with `_target_` is held against the signature of that class or function: unknown keys, types, Literals and
`typing.Annotated` ranges. So a new model declares its options once, in its constructor.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_type_hints

from hydra.utils import get_object
from pydantic import ConfigDict, TypeAdapter, ValidationError

from seqlab.errors import InputError, nearest
from seqlab.job import key_of
from seqlab.values import in_quotes, read

# A configuration may come from a stranger's checkpoint: it constructs what lives here and nothing else.
ALLOWED_PACKAGES = ("seqlab", "rule_extrapolation", "factorization", "lm", "sequences")
ALLOWED_OBJECTS = ("lightning.pytorch.loggers.CSVLogger", "lightning.pytorch.loggers.TensorBoardLogger")


def check(config: dict[str, Any], root: Callable[..., Any]) -> None:
    """Check a resolved configuration.

    Args:
        config: plain dicts, lists and scalars.
        root: a callable whose annotated parameters are the top-level keys.

    Raises:
        InputError: names the key, its value and what is allowed.
    """
    for name, parameter in inspect.signature(root).parameters.items():
        if name not in config and parameter.default is parameter.empty:
            raise InputError(f"{name}: missing")
    _check_arguments(root, config, path="")


def as_typed(config: dict[str, Any], root: Callable[..., Any], words: Iterable[str]) -> dict[str, str]:
    """The characters of words that read as a number, or as true or false, where a text is wanted.

    A column may be called 2020, 1e3 or true: the annotation of what takes the value decides, as it does in `check`.

    Args:
        config: resolved, plain dicts, lists and scalars.
        root: as for `check`.
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
        if annotation is not None and not _takes(annotation, override.value()) and _takes(annotation, text):
            if not isinstance(override.value(), int | float):
                raise InputError(f"{word}: a text is wanted; this one is {in_quotes(word.partition('=')[0], text)}")
            found[key] = text
    return found


def _annotation(config: dict[str, Any], root: Callable[..., Any], key: Sequence[str]) -> Any:
    """The annotation of the parameter that a key sets; None where nothing says."""
    target: Callable[..., Any] | None = root
    node: Any = config
    for place, part in enumerate(key[:-1]):
        node = node.get(part) if isinstance(node, dict) else None
        named = isinstance(node, dict) and "_target_" in node
        target = _target(node["_target_"], ".".join(key[: place + 1])) if named else None
    return None if target is None else _hints(target).get(key[-1])


def _takes(annotation: Any, value: Any) -> bool:
    try:
        _check_value(annotation, value, "")
    except InputError:
        return False
    return True


def _check_node(node: Any, path: str) -> None:
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check_node(item, f"{path}[{index}]")
    elif isinstance(node, dict) and "_target_" in node:
        _check_arguments(_target(node["_target_"], path), node, path)
    elif isinstance(node, dict):
        for key, value in node.items():
            _check_node(value, f"{path}.{key}".lstrip("."))


def _target(name: Any, path: str) -> Callable[..., Any]:
    choices = ", ".join([*(f"{package}.*" for package in ALLOWED_PACKAGES), *ALLOWED_OBJECTS])
    refusal = InputError(f"{path}._target_={name} is not allowed (allowed: {choices})")
    if not (isinstance(name, str) and (_is_ours(name) or name in ALLOWED_OBJECTS)):
        raise refusal
    try:
        target = get_object(name)
        inspect.signature(target)
    except Exception as error:  # an import can fail in any way; the user needs the name and the reason
        raise InputError(f"{path}._target_={name} cannot be loaded: {error}") from error
    # a module of ours also has names that it imported, such as seqlab.runs.os.system
    if name not in ALLOWED_OBJECTS and not _is_ours(str(target.__module__)):
        raise refusal
    return target


def _is_ours(name: str) -> bool:
    return name.split(".")[0] in ALLOWED_PACKAGES


def _check_arguments(target: Callable[..., Any], node: dict[str, Any], path: str) -> None:
    parameters = inspect.signature(target).parameters
    hints = _hints(target)
    for key, value in node.items():
        name = f"{path}.{key}".lstrip(".")
        if key in ("_target_", "_partial_"):
            continue
        if key not in parameters:
            raise InputError(f"{name}: no such key; {nearest(key, _options(target))}")
        if isinstance(value, dict | list) and _has_target(value):
            _check_node(value, name)
        elif key in hints:
            _check_value(hints[key], value, name)


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


def _options(target: Callable[..., Any]) -> list[str]:
    """The parameters that a configuration sets: the keyword-only ones, where there are any."""
    parameters = inspect.signature(target).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY] or [p.name for p in parameters]


def _has_target(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_has_target(item) for item in value.values())
    return isinstance(value, list) and any(_has_target(item) for item in value)


def _check_value(annotation: Any, value: Any, name: str) -> None:
    try:
        # YAML has lists where annotations say tuple; everything else is taken as it stands ("8" is no integer)
        strict_value = tuple(value) if isinstance(value, list) else value
        config = ConfigDict(strict=True, arbitrary_types_allowed=True)
        TypeAdapter(annotation, config=config).validate_python(strict_value)
    except ValidationError as error:
        part = next(iter(error.errors()[0]["loc"]), None)
        if isinstance(value, dict) and part in value:  # the key that a user sets
            name, value = f"{name}.{part}", value[part]
        reasons = sorted({problem["msg"][0].lower() + problem["msg"][1:] for problem in error.errors()})
        raise InputError(f"{name}={value}: {' or '.join(reasons)}") from error
