"""Checks a configuration against the annotations of the objects that it will construct, before anything runs.

A node with `_target_` represents an object. The annotation of its parameter gives the required base class, and the
class must be defined in this project or in a plug-in (seqlab/plugins.py). All other values are checked against types,
Literals and `typing.Annotated` ranges. So a new model declares its options once, in its constructor, and a
configuration from an untrusted checkpoint can construct models where models are expected, and nothing else
(docs/security.md).
"""

import inspect
import sys
import types
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from seqlab import plugins
from seqlab.errors import InputError, nearest

PACKAGES = ("seqlab", "rule_extrapolation", "factorization", "sequences", "forecasting", "lm", "transduction")
LONGEST_VALUE = 200  # characters of a value in a message
# The types of plain values: no node may construct one of these.
PLAIN = (object, bool, int, float, complex, str, bytes, type(None))


def check(config: dict[str, Any], root: Callable[..., Any]) -> None:
    """Check a resolved configuration.

    Args:
        config: plain dicts, lists and scalars.
        root: a callable whose annotated parameters are the top-level keys.

    Raises:
        InputError: the configuration is invalid; the message names the key, its value and what is allowed.
    """
    for name, parameter in inspect.signature(root).parameters.items():
        if name not in config and parameter.default is parameter.empty:
            raise InputError(f"{name}: missing")
    try:
        _check_arguments(root, config, path="")
    except RecursionError as error:
        raise InputError("the configuration is nested too deeply") from error


def allowed_packages() -> list[str]:
    """The packages that a configuration may construct from: this project's and the plug-ins."""
    return [*PACKAGES, *plugins.names()]


def is_allowed(name: Any) -> bool:
    """Whether a full name is one of the allowed packages' names. Nothing is imported."""
    return isinstance(name, str) and any(name.startswith(f"{package}.") for package in allowed_packages())


def located(name: Any) -> Callable[..., Any]:
    """Look up the class or function with a full name that a module of an allowed package defines.

    Modules of other packages are not imported, because importing an untrusted module runs it.

    Raises:
        LookupError: the name is of no allowed package, private, or only imported by the named module.
        ImportError, AttributeError: there is no such module, or no such name in it.
    """
    if not is_allowed(name):
        raise LookupError(f"{name} is not of {', '.join(allowed_packages())}")
    module, _, last = name.rpartition(".")
    if last.startswith("_"):
        raise LookupError(f"{name} is private")
    target = getattr(import_module(module), last)
    if not inspect.isclass(target) and not inspect.isfunction(target):
        raise LookupError(f"{name} is neither a class nor a function")
    if (target.__module__, target.__qualname__) != (module, last):
        raise LookupError(f"{name} is defined elsewhere")
    return target


def _check_arguments(target: Callable[..., Any], node: Mapping[str, Any], path: str) -> None:
    parameters = inspect.signature(target).parameters
    hints = hints_of(target)
    for key, value in node.items():
        name = f"{path}.{key}".lstrip(".")
        if key == "_target_":
            continue
        if key not in parameters:
            raise InputError(f"{name}: no such key; {nearest(str(key), _options(target))}")
        _check_value(hints.get(key, Any), value, name)


def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the parameters of a class or function, by name."""
    return get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


def _options(target: Callable[..., Any]) -> list[str]:
    """The parameters that a configuration sets: the keyword-only ones, or all if there are none."""
    parameters = inspect.signature(target).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY] or [p.name for p in parameters]


def _check_value(annotation: Any, value: Any, path: str) -> None:
    """Check a value, and every node inside it, against the annotation of its parameter."""
    bases = [base for base in _classes(annotation) if not issubclass(base, Mapping)]
    if bases and isinstance(value, dict) and "_target_" not in value:
        kind = " or ".join(base.__name__ for base in bases)
        raise InputError(
            f"{path}={_short(value)}: no _target_ says which {kind} to construct; "
            f"the YAML that is chosen for {path} needs a line _target_: package.module.Class"
        )
    if not _has_target(value):
        _check_plain(annotation, value, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_value(inside(annotation), item, f"{path}[{index}]")
    elif "_target_" in value:
        _check_node(_classes(annotation), value, path)
    else:
        for key, item in value.items():
            _check_value(inside(annotation), item, f"{path}.{key}")


def _has_target(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_has_target(item) for item in value.values())
    return isinstance(value, list) and any(_has_target(item) for item in value)


def inside(annotation: Any) -> Any:
    """The annotation of a container's items. For other annotations it is Any, under which no node is allowed."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return inside(arguments[0])
    if origin in (Union, types.UnionType):
        return next((item for part in arguments if (item := inside(part)) is not Any), Any)
    container = inspect.isclass(origin) and issubclass(origin, Mapping | list | tuple) and arguments
    return arguments[-1] if container else Any


def _classes(annotation: Any) -> list[type]:
    """The base classes that a node may construct under an annotation; empty for plain values and for Any."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _classes(arguments[0])
    if origin in (Union, types.UnionType):
        return [base for part in arguments for base in _classes(part)]
    if origin is Callable:  # a partial that code calls later with the remaining arguments
        return _classes(arguments[-1])
    if annotation is Any:  # which is a class for Python
        return []
    return [annotation] if inspect.isclass(annotation) and origin is None and annotation not in PLAIN else []


def _check_node(bases: list[type], node: dict[str, Any], path: str) -> None:
    name = node["_target_"]
    packages = ", ".join(allowed_packages())
    allowed = " or ".join(f"a {base.__name__} of {packages}" for base in bases) or "a plain value"
    refusal = f"{path}._target_={_short(name)} is not allowed (allowed: {allowed}){_trust(name) if bases else ''}"
    try:
        if not bases:
            raise LookupError("an object has no place there")
        target = located(name)
        if inspect.isclass(target):
            fits = any(issubclass(target, base) for base in bases)
        else:  # a function must be annotated to return exactly this, like those of seqlab.optim
            fits = get_type_hints(target).get("return") in bases
    except LookupError as error:
        raise InputError(refusal) from error
    except Exception as error:  # an import can raise anything; the user needs the name and the reason
        raise InputError(f"{path}._target_={name} cannot be loaded: {error}") from error
    if not fits:
        raise InputError(refusal)
    if inspect.isabstract(target):
        raise InputError(f"{path}._target_={name} is abstract (allowed: a class that derives from it)")
    _check_arguments(target, node, path)


def possible_plugin(name: Any) -> str:
    """The package of a full name that is not allowed and that a user could let take part; empty where there is none."""
    package, _, rest = str(name).partition(".")
    could = rest and package.isidentifier() and package not in sys.stdlib_module_names
    return package if could and not is_allowed(name) else ""


def _trust(name: Any) -> str:
    """How a user lets a package take part that the configuration names; empty for what can be no plug-in."""
    package = possible_plugin(name)
    in_python = f'seqlab.load_run(path, trust=["{package}"])'
    return f"; if you trust {package}: {plugins.VARIABLE}={package}, or in Python {in_python}" if package else ""


def fits(annotation: Any, value: Any) -> bool:
    """Whether a plain value is valid for a parameter with this annotation."""
    try:
        _check_plain(annotation, value, "")
    except InputError:
        return False
    return True


def _check_plain(annotation: Any, value: Any, name: str) -> None:
    try:
        # YAML has lists where annotations say tuple; nothing else is converted ("8" is not an integer)
        strict_value = tuple(value) if isinstance(value, list) else value
        config = ConfigDict(strict=True, arbitrary_types_allowed=True)
        TypeAdapter(annotation, config=config).validate_python(strict_value)
    except ValidationError as error:
        part = next(iter(error.errors()[0]["loc"]), None)
        if isinstance(value, dict) and part in value:  # name the key that the user sets
            name, value = f"{name}.{part}", value[part]
        lists = () if isinstance(value, list) else ("list_type", "tuple_type")  # a plain value was not meant as a list
        problems = [problem for problem in error.errors() if problem["type"] not in lists] or error.errors()
        if isinstance(value, str) and {problem["type"] for problem in problems} == {"callable_type"}:
            raise InputError(
                f"{name}={_short(value)}: needs a configuration with _target_, not a name; "
                f"{name.partition('.')[0]}@{name}={_short(value)} puts one there"
            ) from error
        reasons = sorted({problem["msg"][0].lower() + problem["msg"][1:] for problem in problems})
        raise InputError(f"{name}={_short(value)}: {' or '.join(reasons)}") from error


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
