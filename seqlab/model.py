"""The contract of a sequence model: `init_state`, `prefill`, and what follows from them, `forward` and `step`.

State is a value: a NamedTuple of tensors (or of such NamedTuples), batch first, handed in and handed back, never
stored on the module. tests/contract holds every model of conf/model to this contract.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seqlab.spec import Spec

State = Any  # a NamedTuple of tensors, or of such NamedTuples; each model defines its own


class SequenceModel(nn.Module, ABC):
    """A causal model over sequences: the output at step t depends on inputs at steps <= t only.

    A subclass writes `init_state` and `prefill`, and overrides `forward` or `step` where the parallel and the
    recurrent algorithm differ. Shapes: inputs (batch, time) int64 for `Tokens`, (batch, time, width) for `Vectors`;
    outputs (batch, time, spec.output.width), called logits whatever the task makes of them.
    """

    endless_state: ClassVar[bool] = False
    """Whether the state keeps its size however much is read, so that reading may go on beyond spec.max_length."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.spec = spec

    @abstractmethod
    def init_state(self, batch: int, length: int | None = None) -> State:
        """The state before the first input of `batch` sequences.

        Args:
            batch: number of sequences.
            length: the most steps that will be taken from it (default: spec.max_length). Models that
                preallocate take room for so many; a model without such a limit ignores it.
        """

    @abstractmethod
    def prefill(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a chunk of inputs after `state`; logits for each of its steps and the state after it.

        A prefill or a step may write in place beyond the state's length into memory that the old and the new
        state share: to continue one state twice, `clone` it first.
        """

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, time, width) for whole sequences."""
        return self.prefill(inputs, self.init_state(inputs.shape[0], inputs.shape[1]))[0]

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one input a row, (batch,) or (batch, width); logits (batch, width) and the state after it."""
        logits, state = self.prefill(inputs.unsqueeze(1), state)
        return logits.squeeze(1), state


def clone(state: State) -> State:
    """A copy of a state that shares no memory with it, for continuing one state twice."""
    if isinstance(state, Tensor):
        return state.clone()
    return type(state)(*(clone(part) for part in state))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, a model is in evaluation mode and computes no gradients; afterwards it is in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's tensors; the CPU for a model without any."""
    return next(chain(model.parameters(), model.buffers()), torch.empty(0)).device


def num_parameters(model: nn.Module) -> int:
    """The number of trainable scalars."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def precise(tensor: Tensor) -> Tensor:
    """The tensor in float32, or as it is where it has more: for what is exponentiated, compared or summed up."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def zeros(model: nn.Module, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """Zeros on the model's device, of its own dtype unless another is given: for making states."""
    reference = next(model.parameters())
    return torch.zeros(shape, device=reference.device, dtype=dtype or reference.dtype)
