"""Decides whether a model computes with the native kernels or with plain torch."""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn

from seqlab.nn.native import build

Backend = Literal["auto", "torch", "native"]

logger = logging.getLogger(__name__)
_choices: list[Literal["torch", "native"]] = []
_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, models compute in plain torch: each calls the modules that it consists of."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def takes_native(what: str, backend: Backend, tensor: Tensor, missing: str = "") -> bool:
    """Whether to compute with the native kernels, which differ from plain torch by rounding alone.

    They need a CPU and float32, with or without autocast to bfloat16. They are left out while a model is exported or
    compiled, and in `plain_torch`.

    Args:
        what: the name of the model, for the log.
        backend: `torch`: never. `auto`, `native`: if they are available.
        tensor: a parameter of the model.
        missing: why there is no kernel for this model, if there is none, for the log.

    Raises:
        ValueError: `native` not on a CPU.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or _plain.get():
        return False
    if torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    return chosen_backend(what, backend, tensor.device.type, missing) == "native" and tensor.dtype == torch.float32


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of exactly this type and has no hooks, so that kernels may read its parameters themselves.

    Quantising replaces modules; pruning and weight norms compute parameters in a hook.
    """
    return type(module) is kind and not has_hooks(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of a module calls somebody else, too."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


@functools.cache
def chosen_backend(what: str, backend: Backend, device: str, missing: str) -> Literal["torch", "native"]:
    """Choose the implementation for a type of device ("cpu", "cuda", ...). Decided and logged once per process.

    On a CPU, `auto` and `native` take the native kernels, which are compiled on first use; if that fails, or there is
    no kernel (`missing` says why), they take torch, `native` with a warning.

    Raises:
        ValueError: `native` not on a CPU.
    """
    if backend == "native" and device != "cpu":
        raise ValueError(f"backend=native computes on a CPU, and the model is on {device}: use backend=auto")
    chosen, reason = "torch", f"; {missing}" if missing and backend != "torch" else ""
    if backend != "torch" and device == "cpu" and not missing:
        try:
            build.load()
            chosen = "native"
        except build.UnavailableError as error:
            reason = f"; native is not available: {error}"
    level = logging.WARNING if backend not in ("auto", chosen) else logging.INFO
    logger.log(level, "%s on %s: backend=%s takes %s%s", what, device, backend, chosen, reason)
    if backend != "torch" and not missing:
        _choices.append(chosen)
    return chosen


def last_choice() -> Literal["torch", "native"] | None:
    """What the last model that would take the native kernels got; None if there was none. Dropout differs by it."""
    return _choices[-1] if _choices else None


def available() -> Literal["torch", "native"]:
    """What a model on a CPU gets that would take the native kernels. Compiles them if necessary."""
    try:
        build.load()
    except build.UnavailableError:
        return "torch"
    return "native"
