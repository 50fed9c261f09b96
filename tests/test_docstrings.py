"""No public name without a docstring: modules, classes, functions, methods and properties.

A method that overrides a documented one has its documentation.
"""

import importlib.util
import inspect
from functools import cached_property
from pathlib import Path

import pytest

from tests.test_imports import PACKAGES, module_names

MODULES = sorted(name for package in PACKAGES for name in module_names(package))


def undocumented(module):
    """The public names that a module defines and does not document, with dots."""
    found = [] if module.__doc__ or Path(module.__file__).stat().st_size == 0 else [module.__name__]
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            own_text = value.__doc__ and not value.__doc__.startswith(f"{name}(")  # what dataclass and NamedTuple write
            found += [] if own_text else [f"{module.__name__}.{name}"]
            found += [f"{module.__name__}.{name}.{method}" for method in undocumented_methods(value)]
        elif inspect.isroutine(value) and not inspect.getdoc(value):
            found.append(f"{module.__name__}.{name}")
    return found


def undocumented_methods(owner):
    """The public methods and properties of a class without a docstring of their own or of what they override."""
    kinds = (staticmethod, classmethod, property, cached_property)
    for name, value in vars(owner).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds)):
            versions = [vars(base)[name] for base in owner.__mro__ if name in vars(base)]
            if not any(inspect.getdoc(version) for version in versions):
                yield name


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    assert undocumented(importlib.import_module(name)) == []


def test_what_is_missing_is_found(tmp_path):
    file = tmp_path / "example.py"
    file.write_text(
        '"""Module."""\n'
        "class Bare:\n    def method(self): pass\n"
        'class Documented:\n    """Yes."""\n    def method(self): "Yes."\n    @property\n    def bare(self): pass\n'
        'class Child(Documented):\n    """Yes."""\n    def method(self): pass\n    def _private(self): pass\n'
        "def function(): pass\n",
        encoding="utf-8",
    )
    spec = importlib.util.spec_from_file_location("example", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = {name.removeprefix("example.") for name in undocumented(module)}
    assert names == {"Bare", "Bare.method", "Documented.bare", "function"}
