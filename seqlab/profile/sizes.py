"""Fits the width of a model to a budget of parameters, by counting."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch

from seqlab.errors import InputError
from seqlab.model import num_parameters
from seqlab.run.build import construct
from seqlab.spec import Spec

WIDTH = "d_model"
FOLLOWING = ("hidden_dim", "ff_dim")  # keep their ratio to the width
UNIT = 4  # of a model without heads; of one with heads twice their number, so that each has an even number of channels
WIDEST = 512  # units


class Size(NamedTuple):
    """A model's size.

    parameters: how many it has.
    widths: the keys that were fitted with their values; none: the model is as its configuration says.
    """

    parameters: int
    widths: dict[str, int]

    @property
    def overrides(self) -> list[str]:
        """The overrides that give a model this size."""
        return [f"model.{key}={value}" for key, value in self.widths.items()]


def fitted(model: Mapping[str, Any], spec: Spec, budget: int, fixed: Collection[str] = ()) -> Size:
    """The width, a multiple of 4 or of twice the heads, that brings a model nearest to a number of parameters.

    Args:
        model: the checked node of its configuration.
        spec: what it reads and predicts.
        budget: the number of parameters.
        fixed: keys that the user has set; with a width among them, the size is left as it is.

    Raises:
        InputError: the model refuses every width, or this data.
    """
    keys = [key for key in (WIDTH, *FOLLOWING) if isinstance(model.get(key), int)]
    if WIDTH not in keys or set(keys) & set(fixed):
        return Size(counted(dict(model), spec), {})

    unit = 2 * model["num_heads"] if isinstance(model.get("num_heads"), int) else UNIT

    def at(units: int) -> Size:
        widths = {key: max(1, round(units * model[key] / model[WIDTH])) * unit for key in keys}
        return Size(counted({**model, **widths}, spec), widths)

    refused: list[InputError] = []
    low = high = 1
    while high < WIDEST and ((size := _first(at, high, WIDEST, refused)) is None or size.parameters < budget):
        low, high = high, 2 * high
    while low < high:  # the first width above the budget
        middle = (low + high) // 2
        size = _first(at, middle, high, refused)
        if size is not None and size.parameters < budget:
            low = middle + 1
        else:
            high = middle
    found = [size for units in (low - 1, low) if units and (size := _first(at, units, units, refused)) is not None]
    if not found:
        raise refused[-1]
    return min(found, key=lambda size: abs(size.parameters - budget))


def _first(at: Callable[[int], Size], units: int, most: int, refused: list[InputError]) -> Size | None:
    """The size at the first width from `units` on that the model takes."""
    for wider in range(units, most + 1):
        try:
            return at(wider)
        except InputError as error:
            refused.append(error)
    return None


def counted(model: dict[str, Any], spec: Spec) -> int:
    """The number of parameters of a model, which gets no memory."""
    with torch.device("meta"):
        return num_parameters(construct(model, spec=spec))
