"""Keeps torchmetrics from loading transformers, SciPy and matplotlib before something uses them.

Lightning imports torchmetrics for the class Metric. The package then imports every metric that it has, and what a few
of them need: half of the time that a job spends on imports. There is no narrower import, because Python runs a package
before its modules. So two modules of torchmetrics, the package and the one that plots, are run only when somebody asks
for a name that Lightning and our metrics do not need. Nothing is taken away: `torchmetrics.text.BERTScore` and
`metric.plot()` load what they need when they are used. This module imports only the standard library.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGE, PLOT = "torchmetrics", "torchmetrics.utilities.plot"
# name in the package -> the module that defines it
NARROW = {"Metric": "metric", "MetricCollection": "collections", "__version__": "__about__"}


class Deferred(Loader):
    """Runs a module not when it is imported, but when a name that `given` does not know is first asked of it.

    Args:
        loader: loads the module.
        given: (name, load) -> a value for which the module need not run, or None. `load` runs the module and returns
            it.
    """

    def __init__(self, loader: Loader, given: Callable[[str, Callable[[], ModuleType]], Any]):
        self.loader = loader
        self.given = given

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the empty module, as the loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Give the module a `__getattr__` that runs it."""

        def load() -> ModuleType:
            if vars(module).pop("__getattr__", None) is not None:
                self.loader.exec_module(module)
            return module

        def found(name: str) -> Any:
            value = self.given(name, load)
            if value is None and name.startswith("__") and name != "__all__":  # Python looks for these on every module
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            return getattr(load(), name) if value is None else value

        module.__getattr__ = found  # type: ignore[method-assign]
        if module.__name__ == PACKAGE:  # its modules import each other in a circle, which is entered here
            import_module(f"{PACKAGE}.utilities")


def narrow(name: str, load: Callable[[], ModuleType]) -> Any:
    """A name of the package that a single module of it defines, or the logger that these modules take from it."""
    if name == "_logger":
        return logging.getLogger(PACKAGE)
    return getattr(import_module(f"{PACKAGE}.{NARROW[name]}"), name) if name in NARROW else None


def plotting(name: str, load: Callable[[], ModuleType]) -> Any:
    """A name of torchmetrics' plots: a type for annotations, or a function that loads the module when it is called."""
    if name.startswith("__"):
        return None
    return Any if name.endswith("_TYPE") else lambda *args, **kwargs: getattr(load(), name)(*args, **kwargs)


class Finder(MetaPathFinder):
    """Finds the two modules, with a loader that waits."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's own spec with a loader that waits; None for any other module."""
        if fullname not in (PACKAGE, PLOT):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = Deferred(spec.loader, narrow if fullname == PACKAGE else plotting)
        return spec


def defer() -> None:
    """Let torchmetrics wait, unless it is loaded already."""
    if PACKAGE not in sys.modules and not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
