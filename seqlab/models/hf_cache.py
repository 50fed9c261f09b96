"""A cache of the library transformers as a value: its tensors, and a form that puts them back into such a cache."""

import copy
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn


class CacheForm:
    """How a cache is taken apart into tensors, and put together again.

    It is learned from caches after 1, 2, 3 ... steps of one batch. A tensor with the batch among its sizes is a part of
    the state. A number that counts the steps is set anew. Whatever else changes with the steps cannot be restored.

    Args:
        caches: after 1, 2, 3 ... steps.
        batch: number of rows, no other size of the tensors.

    Raises:
        ValueError: a cache holds no tensor, or something else that changes.
    """

    def __init__(self, caches: Sequence[Any], batch: int):
        leaves = [_leaves(cache) for cache in caches]
        if len({len(each) for each in leaves}) > 1:
            raise ValueError("the cache holds another number of things after another step")
        columns = list(zip(*leaves, strict=True))
        self._roles = [_role(values, batch) for values in columns]
        self.shapes = [
            (values[0].movedim(role, 0).shape[1:], values[0].dtype)
            for values, role in zip(columns, self._roles, strict=True)
            if isinstance(values[0], Tensor) and isinstance(role, int)
        ]
        if not self.shapes:
            raise ValueError("the cache holds no tensor")
        roles = iter(self._roles)
        self._template = _rebuilt(caches[0], lambda leaf: None if isinstance(next(roles), int) else leaf)

    def parts(self, cache: Any) -> list[Tensor]:
        """The tensors of a cache, batch first."""
        leaves = zip(_leaves(cache), self._roles, strict=True)
        return [leaf.movedim(role, 0) for leaf, role in leaves if isinstance(role, int)]

    def whole(self, parts: Sequence[Tensor], length: int) -> Any:
        """A cache with copies of some tensors, batch first, after `length` steps. The library writes into these."""
        rest, roles = iter(parts), iter(self._roles)
        device = parts[0].device

        def filled(leaf: Any) -> Any:
            role = next(roles)
            if isinstance(role, int):
                return next(rest).movedim(0, role).clone(memory_format=torch.contiguous_format)
            if role is COUNT:
                return torch.full_like(leaf, length, device=device) if isinstance(leaf, Tensor) else length
            if isinstance(leaf, Tensor):
                return leaf.to(device, copy=True)
            return device if isinstance(leaf, torch.device) else leaf

        return _rebuilt(self._template, filled)


class _Other(Enum):
    CONSTANT = "the same after any step"
    COUNT = "the number of steps"


CONSTANT, COUNT = _Other.CONSTANT, _Other.COUNT


def _role(values: Sequence[Any], batch: int) -> int | _Other:
    """What a leaf is, from its values after 1, 2, 3 ... steps; for a part of the state the dimension of the batch."""
    first = values[0]
    if all(isinstance(value, Tensor) for value in values):
        for dim in range(first.dim()):
            if all(value.dim() == first.dim() and value.shape[dim] == batch for value in values):
                return dim
        if first.numel() == 1 and _counts([value.item() for value in values]):
            return COUNT
        if all(torch.equal(value, first) for value in values):
            return CONSTANT
    elif _counts(values):
        return COUNT
    elif all(value is first or (not isinstance(value, Tensor) and bool(value == first)) for value in values):
        return CONSTANT
    raise ValueError(f"the cache holds something ({type(first).__name__}) that changes with the steps")


def _counts(values: Sequence[Any]) -> bool:
    return all(type(value) is int for value in values) and list(values) == list(range(1, len(values) + 1))


def _leaves(node: Any) -> list[Any]:
    """Whatever is in a cache and is no container, in a fixed order."""
    found: list[Any] = []
    _rebuilt(node, found.append)
    return found


def _rebuilt(node: Any, leaf: Callable[[Any], Any]) -> Any:
    """A copy of a cache with `leaf` of each of its leaves."""
    if isinstance(node, dict):
        new = copy.copy(node)
        new.update({key: _rebuilt(value, leaf) for key, value in node.items()})
        return new
    if isinstance(node, list | tuple):
        return type(node)([_rebuilt(value, leaf) for value in node])
    if _is_of_the_library(node):
        new = copy.copy(node)
        vars(new).update({name: _rebuilt(value, leaf) for name, value in vars(node).items()})
        return new
    return leaf(node)


def _is_of_the_library(node: Any) -> bool:
    """Whether this is a part of a cache: no configuration, module, class or name of a choice."""
    from transformers import PretrainedConfig

    ours = type(node).__module__.startswith("transformers.")
    return ours and hasattr(node, "__dict__") and not isinstance(node, PretrainedConfig | nn.Module | Enum)
