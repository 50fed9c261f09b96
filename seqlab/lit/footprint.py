"""Estimates the memory of a training step by counting tensors."""

import weakref
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from seqlab.lit.module import Module


def estimate(module: Module) -> dict[str, int]:
    """Estimate the bytes that a training step holds at its peak, by purpose.

    Measured on the first training batch with a copy of the model, so neither the weights nor the random state change.
    The allocator's overhead and the libraries are not counted. Takes about as long as a training step.

    Returns:
        weights (including buffers), gradients, optimizer (its state after a step), activations (saved by the autograd
        graph for the backward pass, each storage once, without the weights), temporaries (all else that is alive at
        the peak of forward and backward pass).
    """
    model = deepcopy(module.model).train()
    devices = {tensor.device.index for tensor in model.parameters() if tensor.is_cuda}
    with torch.random.fork_rng(devices):
        # clone, because a batch may be a view of a large block of batches
        batch = apply_to_collection(module.data.train_batch(0), Tensor, Tensor.clone)
        activations, peak = _saved_and_peak_bytes(model, lambda: module.task.loss(model, batch))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = sum(parameter.nbytes for parameter in trained)
    return {
        "weights": sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()]),
        "gradients": gradients,
        "optimizer": _optimizer_bytes(model, module.make_optimizer(model)),
        "activations": activations,
        "temporaries": max(0, peak - activations - gradients),
    }


def _saved_and_peak_bytes(model: nn.Module, loss_of: Callable[[], Tensor]) -> tuple[int, int]:
    """The bytes that the autograd graph of a loss saves, without the model's own tensors, and the peak bytes of the
    tensors created in the forward and backward pass."""
    owned = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), LiveBytes() as live:
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = loss_of()
        total = sum(sizes.values())  # all saved storages are still alive, so no address was reused
        loss.backward()
    return total, live.peak


class LiveBytes(TorchDispatchMode):
    """Tracks the storages of tensors that operations return, from creation to release.

    peak: maximum number of bytes alive at the same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        apply_to_collection(result, Tensor, self._note)
        return result

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.sizes:
            self.sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._end, key)

    def _end(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


def _optimizer_bytes(model: nn.Module, optimizer: Optimizer) -> int:
    """The bytes of an optimizer's state after one step. The step changes the model."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.nbytes for value in states if isinstance(value, Tensor))
