"""The interface of a sequence model: `init_state` and `prefill`, and `forward` and `step`, which follow from them.

State is a value: a NamedTuple of tensors (or of such NamedTuples), batch first. It is passed in and returned, never
stored on the module. tests/contract checks every model of conf/model against this interface.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import InputError
from seqlab.ragged import parts, real_steps, row_starts
from seqlab.spec import Spec, Tokens

State = Any  # a NamedTuple of tensors, or of such NamedTuples; each model defines its own


class SequenceModel(nn.Module, ABC):
    """A causal sequence model: the output at step t depends only on inputs at steps <= t.

    A subclass implements `init_state` and `prefill`, and overrides `forward` or `step` if the parallel and the
    recurrent algorithm differ. Shapes: inputs (batch, time) int64 for `Tokens`, (batch, time, width) for `Vectors`;
    outputs (batch, time, spec.output.width), called logits whatever the task uses them for.
    """

    endless_state: bool = False
    """Whether the state has constant size, so that the model can read beyond spec.max_length."""

    reads_parts: bool = True
    """Whether it saves time on a CPU to read rows of similar length together, cut to it."""

    rereads: bool = False
    """Whether each step reads all inputs so far again (`Rereading`). The table of a run says so."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.spec = spec

    @abstractmethod
    def init_state(self, batch: int, length: int | None = None) -> State:
        """The initial state for `batch` sequences.

        Args:
            batch: number of sequences.
            length: maximum number of steps that will be read (default: spec.max_length). Models that preallocate
                memory allocate this many steps; models without a limit ignore it.
        """

    @abstractmethod
    def prefill(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Read a chunk of inputs from `state`. Returns the logits of each step and the next state.

        `prefill` and `step` may write in place, beyond the state's length, into memory that the old and the new state
        share. To continue from one state twice, `clone` it first.
        """

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, time, width) for whole sequences."""
        return self.prefill(inputs, self.init_state(inputs.shape[0], inputs.shape[1]))[0]

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, width) of the first lengths[b] steps of each row b, one row after another.

        Little work is done on the other steps: `forward` reads parts of rows of similar length, cut to it. A model with
        a kernel for packed rows overrides this.

        Args:
            inputs: (batch, time, ...); what follows the first lengths[b] steps of a row has no effect.
            lengths: (batch,) int64, at most time; N is their sum.
        """
        if inputs.device.type != "cpu" or not self.reads_parts:
            return self(inputs)[real_steps(lengths, inputs.shape[1])]
        starts = row_starts(lengths)
        logits, places = [], []
        for rows, steps in parts(lengths):
            real = real_steps(lengths[rows], steps)
            logits.append(self(inputs[rows, :steps])[real])
            places.append((starts[rows, None] + torch.arange(steps))[real])
        return torch.cat(logits)[torch.cat(places).argsort()]

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one input per row, (batch,) or (batch, width). Returns logits (batch, width) and the next state."""
        logits, state = self.prefill(inputs.unsqueeze(1), state)
        return logits.squeeze(1), state

    def explanation(self, inputs: Tensor) -> list[str]:
        """How the output after inputs (1, time) comes about, in lines for a person to check; most models have none."""
        return []


class ReadInputs(NamedTuple):
    """The state of a `Rereading` model: room for all inputs, and how many have been read."""

    inputs: Tensor  # (batch, room) int64 for `Tokens`, (batch, room, width) for `Vectors`
    length_B: Tensor  # int64, the same in every row


class Rereading(SequenceModel):
    """A sequence model without a state of its own: each step reads all inputs so far again.

    A subclass implements `forward` alone, and has prediction, decoding and evaluation. `forward` has to be causal, and
    to take any number of steps up to spec.max_length. To decode n steps costs n calls of `forward`; training costs
    nothing more.
    """

    rereads = True

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, time, width) for whole sequences; those at step t see inputs at steps <= t alone."""

    def init_state(self, batch: int, length: int | None = None) -> ReadInputs:
        """Nothing read, and room for `length` inputs per row."""
        room = self.spec.max_length if length is None else length
        if isinstance(self.spec.input, Tokens):
            inputs = zeros(self, batch, room, dtype=torch.int64)
        else:
            inputs = zeros(self, batch, room, self.spec.input.width)
        return ReadInputs(inputs, zeros(self, batch, dtype=torch.int64))

    def prefill(self, inputs: Tensor, state: ReadInputs) -> tuple[Tensor, ReadInputs]:
        """Read everything again, with a chunk of inputs behind it.

        Raises:
            ValueError: the chunk does not fit the room of the state.
        """
        start, room = int(state.length_B[0]), state.inputs.shape[1]
        stop = start + inputs.shape[1]
        check_room(start, inputs.shape[1], room)
        read = torch.cat([state.inputs[:, :start], inputs], 1)
        after = torch.cat([read, state.inputs[:, stop:]], 1)
        return self(read)[:, start:], ReadInputs(after, state.length_B + inputs.shape[1])


def check_room(length: int, steps: int, room: int) -> None:
    """Raise ValueError if `steps` more inputs after `length` do not fit a state made for `room`."""
    if length + steps > room:
        raise ValueError(f"{length} + {steps} steps do not fit a state made for {room}")


def check_logits(logits: object, inputs: Tensor, spec: Spec) -> None:
    """Raise InputError if what a model returns for inputs (batch, time, ...) is not (batch, time, width)."""
    expected = (*inputs.shape[:2], spec.output.width)
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if found != expected:
        raise InputError(f"the model returns {found} for inputs {tuple(inputs.shape)}; expected logits {expected}")


def clone(state: State) -> State:
    """Deep-copy a state, to continue from it twice."""
    if isinstance(state, Tensor):
        return state.clone()
    return type(state)(*(clone(part) for part in state))


def rows_of(state: State, rows: Tensor) -> State:
    """The state of some rows, a new one: rows are their numbers, (n,) int64, a row as often as it is named.

    Raises:
        TypeError: the state is not made of NamedTuples of tensors.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if not (isinstance(state, tuple) and hasattr(state, "_fields")):
        raise TypeError(f"{type(state).__name__} in the state is neither a tensor nor a NamedTuple")
    return type(state)(*(rows_of(part, rows) for part in state))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients inside the block; restore each part's mode afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(modes[model])  # which a class may override
        for module, training in modes.items():
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's tensors; the CPU for a model without tensors."""
    return next(chain(model.parameters(), model.buffers()), torch.empty(0)).device


def readable(model: nn.Module, inputs: Tensor) -> Tensor:
    """Inputs on a model's device, and vectors in the dtype of its parameters, as `prefill` and `step` take them."""
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    return inputs.to(device_of(model), dtype if inputs.is_floating_point() else inputs.dtype)


def num_parameters(model: nn.Module) -> int:
    """The number of trainable parameters (scalars)."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def precise(tensor: Tensor) -> Tensor:
    """Cast a tensor to float32, or leave it in float64. For values to be exponentiated, compared or summed."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def zeros(model: nn.Module, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """Zeros on the model's device, with its dtype by default. Used to create states."""
    reference = next(model.parameters(), torch.empty(0, device=device_of(model)))
    return torch.zeros(shape, device=reference.device, dtype=dtype or reference.dtype)
