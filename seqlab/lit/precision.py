"""trainer.precision sets the dtype of the model only: data, losses and metric sums keep their own dtypes."""

from typing import Any, Literal, get_args

import torch
from lightning.pytorch.plugins.precision import Precision as PrecisionPlugin
from torch import Tensor, nn

from seqlab.model import precise

Precision = Literal["32-true", "64-true", "bf16-true", "16-mixed", "bf16-mixed"]

# unsupported precisions by type of device: float16 needs a GPU (on a CPU, Lightning would warn and use bf16-mixed
# instead), and MPS has no float64
IMPOSSIBLE: dict[str, tuple[Precision, ...]] = {"cpu": ("16-mixed",), "mps": ("64-true",)}
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
OF_WEIGHTS = {"bf16-true": torch.bfloat16, "64-true": torch.float64}  # all others leave weights in float32


class ModelPrecision(PrecisionPlugin):
    """bf16-true or 64-true: casts the parameters and buffers of the task's model, and nothing else.

    Lightning's own plugins also cast metrics, everything in a batch (targets and levels of a series need more digits
    than bfloat16 has), and torch's default dtype.
    """

    def __init__(self, precision: Literal["bf16-true", "64-true"]):
        self.precision = precision

    def convert_module(self, module: Any) -> Any:
        cast_weights(module.model, self.precision)
        return module


def cast_weights(model: nn.Module, precision: str) -> None:
    """Cast the parameters and buffers of a model as training in a precision does."""
    if precision in OF_WEIGHTS:
        model.to(dtype=OF_WEIGHTS[precision])


def refuse_impossible(precision: Precision, device: str) -> None:
    """Raise ValueError for a precision that a type of device ("cpu", "cuda", "mps") does not support."""
    impossible = IMPOSSIBLE.get(device, ())
    if precision in impossible:
        allowed = ", ".join(name for name in PRECISIONS if name not in impossible)
        raise ValueError(f"trainer.precision={precision} does not work on this device ({device}); allowed: {allowed}")


def own_types(model: nn.Module) -> None:
    """Cast a model's inputs and outputs, so that its dtype does not affect the code around it.

    Floating-point inputs are cast to the dtype of its parameters, and outputs to float32 or more, so that losses and
    metrics never see bfloat16 or float16. This applies to calls of the model, not to `prefill` and `step`.
    """
    model.register_forward_pre_hook(_cast_inputs)
    model.register_forward_hook(_cast_outputs)


def _cast_inputs(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    dtype = next((parameter.dtype for parameter in model.parameters()), None)
    return tuple(part.to(dtype) if isinstance(part, Tensor) and part.is_floating_point() else part for part in inputs)


def _cast_outputs(model: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return precise(output) if isinstance(output, Tensor) else output
