"""What goes on inside a model that reads one input: outputs of its modules, attention weights, norms of its state."""

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from seqlab.errors import InputError, nearest
from seqlab.model import SequenceModel, State, device_of, evaluating, readable
from seqlab.nn.attention import CausalSelfAttention
from seqlab.nn.native.choice import plain_torch

DIMENSIONS = re.compile("_[A-Z]+$")  # at the end of a field's name
WEIGHTS = "weights"  # what stands for the attention weights of a module, after its name


@runtime_checkable
class HasAttentions(Protocol):
    """A module that tells the attention weights of its layers itself: model=hf."""

    def attentions(self, inputs: Tensor) -> Sequence[Tensor]:
        """The weights of each layer that has them, (batch, heads, steps, steps)."""
        ...


def activations(model: nn.Module, inputs: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The outputs of modules while a model reads inputs, by the names of the modules, on the CPU.

    The model computes in plain torch: a native kernel calls no modules inside it. Of a module that returns several
    tensors, such as nn.LSTM, the first one is taken; of one that is called several times, the last output.

    Args:
        model: any module.
        inputs: one batch for it.
        names: of modules, as `model.named_modules()` has them; NAME.weights: the attention weights of the
            Transformer's module NAME, (batch, heads, steps, steps); attentions.0.weights and so on: those of model=hf.
            None: all modules that are called, without weights.

    Raises:
        InputError: there is no such module, or the model does not call it.
    """
    if isinstance(names, str):
        raise InputError(f"names={names!r}: give a list, such as [{names!r}]")
    known = {name: module for name, module in model.named_modules() if name}
    asked = list(known) if names is None else names
    unknown = [name for name in asked if name not in known]
    weights = _weights(model, inputs) if unknown else {}
    for name in unknown:
        if name not in weights:
            raise InputError(f"{name}: no such module; {nearest(name, [*known, *weights])}")
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if (tensor := next(_tensors(output), None)) is not None:
                outputs[name] = tensor.detach().cpu().clone()

        return hook

    _read(model, inputs, [known[name].register_forward_hook(keep(name)) for name in asked if name in known])
    found = outputs | {name: weights[name] for name in unknown}
    for name in names or ():
        if name not in found:
            called = nearest(name, found) if found else "none of those asked for is"
            raise InputError(f"{name}: the model does not call this module; {called}")
    return found


def attention_weights(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """The attention weights of each layer that has them, (heads, steps, steps); empty for models without attention."""
    return {name: tensor[0] for name, tensor in _weights(model, inputs).items()}


def _weights(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """All attention weights by name, (batch, heads, steps, steps), on the CPU."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, given: Any) -> None:
            if isinstance(module, CausalSelfAttention):
                found[f"{name}.{WEIGHTS}"] = module.weights(given[0]).detach().cpu()
            elif isinstance(module, HasAttentions):
                for layer, weights in enumerate(module.attentions(given[0])):
                    found[f"{name}.attentions.{layer}.{WEIGHTS}".lstrip(".")] = weights.detach().cpu()

        return hook

    names = [name for name, module in model.named_modules() if _attends(module)]
    if names:
        _read(model, inputs, [model.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names])
    return found


def _attends(module: nn.Module) -> bool:
    # a list of layers may have the name of the method
    tells = isinstance(module, HasAttentions) and inspect.ismethod(module.attentions)
    return tells or isinstance(module, CausalSelfAttention)


def _read(model: nn.Module, inputs: Tensor, hooks: Sequence[RemovableHandle]) -> None:
    """Let a model read inputs, and remove hooks."""
    try:
        with evaluating(model), plain_torch():
            model(inputs.to(device_of(model)))
    finally:
        for hook in hooks:
            hook.remove()


def state_norms(model: SequenceModel, inputs: Tensor) -> dict[str, Tensor]:
    """The Euclidean norm of each part of a model's state after each step, (steps,), by the name of the part.

    A cache of keys and values holds all steps so far, and grows with them.

    Args:
        model: the model.
        inputs: (1, steps, ...).
    """
    norms: dict[str, list[float]] = {}
    with evaluating(model):
        inputs = readable(model, inputs)
        state = model.init_state(1, inputs.shape[1])
        for step in inputs.unbind(1):
            _, state = model.step(step, state)
            for name, tensor in named_parts(state):
                norms.setdefault(name, []).append(float(tensor.double().norm()))
    return {name: torch.tensor(values) for name, values in norms.items()}


def named_parts(state: State, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The floating-point tensors in a state by the names of their fields, without the letters of dimensions."""
    if isinstance(state, Tensor):
        if state.is_floating_point():
            yield name or "state", state
        return
    fields = getattr(state, "_fields", range(len(state)))
    for field, part in zip(fields, state, strict=True):
        yield from named_parts(part, f"{name}.{DIMENSIONS.sub('', str(field))}".lstrip("."))


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors in what a module returns."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _tensors(part)
