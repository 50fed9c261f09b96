"""Checks of a model's weights: that all of them learn, are saved and loaded, and compute in every precision."""

import copy
import io

import torch

from seqlab.contract.measure import TOLERANCE, Outcome, Subject, difference, whole_and_stepwise, within

ROUNDED = 0.1  # a difference under bfloat16, as a multiple of the largest value
NOISE = 0.01  # standard deviation
NUM_NAMES = 3  # parameters that a message names


def gradients(subject: Subject) -> Outcome:
    """Every parameter gets a finite gradient that is not zero, a little off the initial weights.

    At these some may wait for others that begin at zero.
    """
    model = copy.deepcopy(subject.model).train()
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.add_(NOISE * torch.randn_like(parameter))
    with torch.enable_grad():
        logits = model(subject.inputs)
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
        (logits * weights).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    dead = [name for name, gradient in found.items() if gradient is None or not (gradient != 0).any()]
    broken = [name for name, gradient in found.items() if gradient is not None and not gradient.isfinite().all()]
    bad = [*broken, *dead]
    more = f" and {len(bad) - NUM_NAMES} more" if len(bad) > NUM_NAMES else ""
    names = f"; not {', '.join(bad[:NUM_NAMES])}{more}" if bad else ""
    return Outcome(
        not bad,
        f"{len(found) - len(bad)} of {len(found)} parameters{names}",
        "a division by zero, a root or logarithm of zero, or an overflow"
        if broken
        else "forward does not use them, detaches them, or computes under no_grad",
    )


def saved_and_loaded(subject: Subject) -> Outcome:
    """Weights that are saved and loaded into another model give the same outputs."""
    torch.manual_seed(2)
    other = subject.make().eval()
    file = io.BytesIO()
    torch.save(subject.model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    same = torch.equal(other(subject.inputs), subject.model(subject.inputs))
    cause = "a tensor that outputs depend on is neither a parameter nor a buffer, so state_dict lacks it"
    return Outcome(same, "the same outputs" if same else "other outputs", cause)


def deterministic(subject: Subject) -> Outcome:
    """In evaluation mode the same inputs give the same outputs, whole and step by step."""
    model, inputs = subject.model, subject.inputs
    said = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        said.append(whole_and_stepwise(model, inputs))
    same = all(map(torch.equal, *said))
    cause = "dropout or noise in evaluation: a function of torch.nn.functional without training=self.training"
    return Outcome(same, "the same outputs twice" if same else "other outputs the second time", cause)


def float64(subject: Subject) -> Outcome:
    """In float64 (trainer.precision=64-true) outputs are those of float32 to rounding, whole and step by step."""
    model = copy.deepcopy(subject.model).double()
    inputs = subject.inputs.double() if subject.inputs.is_floating_point() else subject.inputs
    rounded = whole_and_stepwise(subject.model, subject.inputs)
    error = max(map(difference, rounded, whole_and_stepwise(model, inputs)))
    return within(error, 10 * TOLERANCE, "a constant or a state has a dtype of its own: take that of the weights")


def bfloat16(subject: Subject) -> Outcome:
    """Under bfloat16 autocast (bf16-mixed) outputs are those of float32, roughly, and gradients are finite."""
    model, inputs = copy.deepcopy(subject.model), subject.inputs
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
        rounded = whole_and_stepwise(model, inputs)
        with torch.enable_grad():
            loss = model(inputs).float().square().mean()
    loss.backward()
    cause = "a sum, an exponential or a recurrence that float32 should compute"
    if not all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters()):
        return Outcome(False, "a gradient is not finite", cause)
    return within(max(map(difference, rounded, whole_and_stepwise(subject.model, inputs))), ROUNDED, cause)


def without_memory(subject: Subject) -> Outcome:
    """The model can be built on the device `meta`: a checkpoint is held against that before a model takes room."""
    with torch.device("meta"):
        declared = {name: tensor.shape for name, tensor in subject.make().state_dict().items()}
    same = declared == {name: tensor.shape for name, tensor in subject.model.state_dict().items()}
    return Outcome(same, f"{len(declared)} tensors", "shapes follow from values of tensors or from random numbers")
