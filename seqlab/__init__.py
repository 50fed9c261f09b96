"""SeqLab: which rules do sequence models really learn?

From Python: train, load_run, evaluate and choices (docs/api.md). Importing the package loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seqlab.deferred import defer

if TYPE_CHECKING:
    from seqlab.python import TrainedRun, choices, evaluate, load_run, train

__all__ = ["TrainedRun", "choices", "evaluate", "load_run", "train"]

defer()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("seqlab.python"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
