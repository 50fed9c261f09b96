"""How much memory a training step needs, counted tensor by tensor."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from seqlab.lit.module import Module


def estimate(task: Module) -> dict[str, int]:
    """The bytes that a training step of a task keeps at once, by what they hold.

    Counted on the first training batch and on a copy of the model: neither the task's weights nor the state of the
    random generator change. Not counted is what lives for one operation only, the allocator's slack, and the
    libraries. Takes about as long as a forward pass and an optimizer step.

    Returns:
        weights (buffers included), gradients, optimizer (its state after a step), activations (what the graph of the
        loss saves for the backward pass: each storage once, without the weights).
    """
    original, training = task.model, task.training
    model = deepcopy(original)
    task.model = model
    devices = {tensor.device.index for tensor in model.parameters() if tensor.is_cuda}
    try:
        with torch.random.fork_rng(devices):
            task.train()
            # a clone: a batch may be a view of a large block of batches
            activations = _saved_bytes(task, task.data.train_batch(0).clone())
    finally:
        task.model = original
        task.train(training)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return {
        "weights": sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()]),
        "gradients": sum(parameter.nbytes for parameter in trained),
        "optimizer": _optimizer_bytes(task, model),
        "activations": activations,
    }


def _saved_bytes(task: Module, batch: Tensor) -> int:
    """The storages that the graph of a batch's loss keeps, without those of the model's own tensors."""
    owned = {tensor.untyped_storage().data_ptr() for tensor in [*task.model.parameters(), *task.model.buffers()]}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = task.loss(batch)
    total = sum(sizes.values())
    del loss  # till here the graph lives, so no address was given out twice
    return total


def _optimizer_bytes(task: Module, model: nn.Module) -> int:
    """The state that the task's optimizer has for a model after a step; the step changes the model."""
    optimizer = task.make_optimizer(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.nbytes for value in states if isinstance(value, Tensor))
