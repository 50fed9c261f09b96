"""Plug-ins: packages from outside with models, languages, data sets or schedules, and a folder conf with their YAMLs.

A package takes part where it is installed and declares itself (an entry point of the group seqlab.plugins), where the
environment variable SEQLAB_PLUGINS names it, or where a caller trusts it. A file cannot ask for one: what a checkpoint
or a YAML names from any other package is refused (seqlab/check.py). Nothing here imports a plug-in.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path

from seqlab.errors import InputError

GROUP, VARIABLE = "seqlab.plugins", "SEQLAB_PLUGINS"
_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


@cache
def installed() -> dict[str, str]:
    """The packages that declare themselves, each with the version of its distribution."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.value)
    return {point.value.partition(":")[0].strip(): point.dist.version if point.dist else "" for point in points}


def names() -> list[str]:
    """The packages that take part here and now.

    Raises:
        InputError: SEQLAB_PLUGINS names something that cannot be a package.
    """
    text = os.environ.get(VARIABLE, "")
    named = [word.strip() for word in text.split(",") if word.strip()]
    for word in named:
        if not all(part.isidentifier() for part in word.split(".")):
            raise InputError(f"{VARIABLE}={text}: {word!r} is no name of a package; allowed: names, commas between")
    return list(dict.fromkeys([*installed(), *named, *_trusted.get()]))


@contextmanager
def trusting(packages: Iterable[str]) -> Iterator[None]:
    """Let further packages take part meanwhile. Raises InputError for a single text in the place of a list."""
    if isinstance(packages, str):
        raise InputError(f"trust={packages!r}: a list of packages is needed: trust=[{packages!r}]")
    token = _trusted.set((*_trusted.get(), *packages))
    try:
        yield
    finally:
        _trusted.reset(token)


def folders() -> list[Path]:
    """The folders conf of the plug-ins that have one.

    Raises:
        InputError: a plug-in cannot be found.
    """
    found = [Path(place) / "conf" for name in names() for place in _places(name)]
    return [folder for folder in found if folder.is_dir()]


def _places(name: str) -> list[str]:
    """The folders of a package; none for a module that is a single file."""
    try:
        spec = find_spec(name)
    except Exception as error:  # of a package within another one, which this imports
        raise InputError(f"plug-in {name} cannot be loaded: {type(error).__name__}: {error}") from error
    if spec is None:
        how = "it is installed without its package" if name in installed() else f"{VARIABLE} names it"
        raise InputError(f"plug-in {name}: no such package, though {how}; install it, or set PYTHONPATH to its folder")
    return list(spec.submodule_search_locations or ())


def versions(targets: Iterable[str]) -> dict[str, str]:
    """The versions of the plug-ins in which some classes or functions are, by package.

    Args:
        targets: full names.
    """
    targets = list(targets)
    used = [name for name in names() if any(target.startswith(f"{name}.") for target in targets)]
    return {name: installed().get(name) or _version(name) for name in used}


def _version(name: str) -> str:
    """Of a package that does not declare itself: its distribution's, or else what the imported package says."""
    try:
        return version(name)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(name), "__version__", "unknown"))
