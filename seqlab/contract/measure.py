"""What the checks of the contract measure with: inputs, steps, differences, and the outcome that follows from one."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.model import SequenceModel, State, check_logits, device_of, evaluating
from seqlab.spec import Spec, Tokens

TOLERANCE = 1e-5  # of a difference in float32, as a multiple of the largest value
MODES = {False: "evaluation", True: "training"}


class Outcome(NamedTuple):
    """What a check measured, whether that passes, and the likely cause where it does not; the error that ended it."""

    passed: bool
    measured: str
    cause: str = ""
    error: Exception | None = None


class Subject(NamedTuple):
    """A model to check.

    make: constructs it, with weights drawn from torch's generator.
    model: one of these, in evaluation mode; no check changes it.
    inputs: at least two rows of at least four steps.
    """

    make: Callable[[], SequenceModel]
    model: SequenceModel
    inputs: Tensor


def subject_of(make: Callable[[], SequenceModel], *, batch: int = 3, steps: int = 20) -> Subject:
    """A model with random inputs of its Spec, of `steps` steps if it reads so many."""
    torch.manual_seed(1)
    model = make().eval()
    return Subject(make, model, random_inputs(model.spec, batch, min(steps, model.spec.max_length)))


def random_inputs(spec: Spec, batch: int, time: int, *, seed: int = 0) -> Tensor:
    """Inputs of a Spec; tokens contain every id where there is room for them."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(spec.input, Tokens):
        order = torch.randperm(batch * time, generator=generator)
        return (torch.arange(batch * time) % spec.input.size)[order].view(batch, time)
    return torch.randn(batch, time, spec.input.width, generator=generator)


def refuse_wrong_shape(model: SequenceModel) -> None:
    """Raise InputError if a model's outputs are not (batch, time, width). Nothing is said of a model that cannot read.

    Asked where training has failed, so that training itself pays nothing.
    """
    spec = model.spec
    inputs = random_inputs(spec, 2, min(3, spec.max_length)).to(device_of(model))
    with evaluating(model):
        try:
            logits = model(inputs)
        except Exception:  # it fails by itself, and the error at hand says so
            return
    check_logits(logits, inputs, spec)


def changed(inputs: Tensor, spec: Spec, start: int) -> Tensor:
    """Inputs that differ from `inputs` at every step from `start` on, and only there."""
    result = inputs.clone()
    if isinstance(spec.input, Tokens):
        result[:, start:] = (result[:, start:] + 1) % spec.input.size
    else:
        result[:, start:] += 1.0
    return result


def by_steps(model: SequenceModel, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """Logits of `model.step` over all inputs, (batch, time, width), and the state after them."""
    logits = []
    for place in range(inputs.shape[1]):
        step_logits, state = model.step(inputs[:, place], state)
        logits.append(step_logits)
    return torch.stack(logits, 1), state


def whole_and_stepwise(model: SequenceModel, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of `forward`, and of `step` after `step`."""
    return model(inputs), by_steps(model, inputs, model.init_state(*inputs.shape[:2]))[0]


def in_mode(model: SequenceModel, training: bool) -> Callable[[Tensor], Tensor]:
    """A copy of the model in a mode. It draws the same random numbers whenever it is called."""
    copied = copy.deepcopy(model).train(training)  # in training, statistics change a model

    def read(inputs: Tensor) -> Tensor:
        torch.manual_seed(1)
        return copied(inputs)

    return read


def leaves(state: State, batch: int) -> list[Tensor]:
    """The tensors of a state.

    Raises:
        TypeError: it is not made of NamedTuples of tensors with the batch first.
    """
    if isinstance(state, Tensor):
        if state.dim() == 0 or state.shape[0] != batch:
            raise TypeError(f"a tensor {tuple(state.shape)} of the state has not the batch of {batch} first")
        return [state]
    if not (isinstance(state, tuple) and hasattr(state, "_fields")):
        raise TypeError(f"{type(state).__name__} in the state is neither a tensor nor a NamedTuple")
    return [leaf for part in state for leaf in leaves(part, batch)]


def difference(actual: Tensor, expected: Tensor) -> float:
    """The largest difference as a multiple of the largest expected value; infinite where one is not finite.

    >>> difference(torch.tensor([4.0, 1.0]), torch.tensor([4.0, 2.0]))
    0.25

    Raises:
        ValueError: the shapes differ.
    """
    if actual.shape != expected.shape:
        raise ValueError(f"outputs {tuple(actual.shape)} where {tuple(expected.shape)} are expected")
    size = expected.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
    error = float((actual.to(expected.dtype) - expected).abs().amax() / size)
    return math.inf if math.isnan(error) else error


def within(error: float, tolerance: float, cause: str) -> Outcome:
    """The outcome for a difference that a tolerance allows or not."""
    return Outcome(error <= tolerance, f"off by {error:.2g}, allowed {tolerance:.0e}", cause)


def in_both_modes(errors: Mapping[bool, float], cause: str, cause_in_training: str) -> Outcome:
    """The outcome for a difference in evaluation (key False) and in training, which alone has a cause of its own."""
    training = errors[False] <= TOLERANCE < errors[True]
    outcome = within(errors[training], TOLERANCE, cause_in_training if training else cause)
    return outcome if outcome.passed else outcome._replace(measured=f"{outcome.measured}, in {MODES[training]}")
