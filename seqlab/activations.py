"""What goes on inside a model that reads one input: outputs of its modules, attention weights, norms of its state."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.errors import InputError, nearest
from seqlab.model import SequenceModel, State, device_of, evaluating
from seqlab.nn.attention import CausalSelfAttention
from seqlab.nn.native.choice import plain_torch

DIMENSIONS = re.compile("_[A-Z]+$")  # at the end of a field's name
WEIGHTS = "weights"  # what stands for the attention weights of a module, after its name


def activations(model: nn.Module, inputs: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The outputs of modules while a model reads inputs, by the names of the modules, on the CPU.

    The model computes in plain torch: a native kernel calls no modules inside it. Of a module that returns several
    tensors, such as nn.LSTM, the first one is taken; of one that is called several times, the last output.

    Args:
        model: any module.
        inputs: one batch for it.
        names: of modules, as `model.named_modules()` has them; NAME.weights: the attention weights of the
            Transformer's module NAME, (batch, heads, steps, steps). None: all modules that are called, without weights.

    Raises:
        InputError: there is no such module, or the model does not call it.
    """
    if isinstance(names, str):
        raise InputError(f"names={names!r}: give a list, such as [{names!r}]")
    known = {name: module for name, module in model.named_modules() if name}
    attentions = {
        f"{name}.{WEIGHTS}": module for name, module in known.items() if isinstance(module, CausalSelfAttention)
    }
    for name in names or ():
        if name not in known and name not in attentions:
            raise InputError(f"{name}: no such module; {nearest(name, [*known, *attentions])}")
    found: dict[str, Tensor] = {}
    wanted = list(known) if names is None else names

    def keep(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if (tensor := next(_tensors(output), None)) is not None:
                found[name] = tensor.detach().cpu().clone()

        return hook

    def keep_weights(name: str) -> Any:
        def hook(module: CausalSelfAttention, given: Any) -> None:
            found[name] = module.weights(given[0]).detach().cpu()

        return hook

    handles = [known[name].register_forward_hook(keep(name)) for name in wanted if name in known]
    handles += [attentions[name].register_forward_pre_hook(keep_weights(name)) for name in wanted if name in attentions]
    try:
        with evaluating(model), plain_torch():
            model(inputs.to(device_of(model)))
    finally:
        for handle in handles:
            handle.remove()
    for name in names or ():
        if name not in found:
            called = nearest(name, found) if found else "none of those asked for is"
            raise InputError(f"{name}: the model does not call this module; {called}")
    return found


def attention_weights(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """The attention weights of each of the Transformer's layers, (heads, steps, steps); empty for other models."""
    names = [f"{n}.{WEIGHTS}" for n, module in model.named_modules() if isinstance(module, CausalSelfAttention)]
    return {name: tensor[0] for name, tensor in activations(model, inputs, names).items()} if names else {}


def state_norms(model: SequenceModel, inputs: Tensor) -> dict[str, Tensor]:
    """The Euclidean norm of each part of a model's state after each step, (steps,), by the name of the part.

    A cache of keys and values holds all steps so far, and grows with them.

    Args:
        model: the model.
        inputs: (1, steps, ...).
    """
    norms: dict[str, list[float]] = {}
    with evaluating(model):
        inputs = inputs.to(device_of(model))
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
