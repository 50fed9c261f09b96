"""trainer.precision is what the model computes in: data, losses and sums keep their own types."""

from typing import Any, Literal, get_args

import torch
from lightning.pytorch.plugins.precision import Precision as PrecisionPlugin
from torch import Tensor, nn

from seqlab.model import precise

Precision = Literal["32-true", "64-true", "bf16-true", "16-mixed", "bf16-mixed"]

# by type of device, what it cannot do: float16 wants a GPU (Lightning takes bf16-mixed in its place on a CPU, and says
# so in a warning), and MPS has no float64
IMPOSSIBLE: dict[str, tuple[Precision, ...]] = {"cpu": ("16-mixed",), "mps": ("64-true",)}
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class ModelPrecision(PrecisionPlugin):
    """bf16-true or 64-true: the parameters and buffers of a task's model have that type, and nothing else has.

    Lightning's own plugins cast the whole module with its metrics, all that a batch holds (targets and the level of a
    series, known to more digits than bfloat16 has), and the type in which torch makes new tensors.
    """

    def __init__(self, precision: Literal["bf16-true", "64-true"]):
        self.precision = precision
        self.dtype = torch.bfloat16 if precision == "bf16-true" else torch.float64

    def convert_module(self, module: Any) -> Any:
        module.model.to(dtype=self.dtype)
        return module


def refuse_impossible(precision: Precision, device: str) -> None:
    """Raise ValueError for a precision that a type of device ("cpu", "cuda", "mps") does not have."""
    impossible = IMPOSSIBLE.get(device, ())
    if precision in impossible:
        allowed = ", ".join(name for name in PRECISIONS if name not in impossible)
        raise ValueError(f"trainer.precision={precision} does not work on this device ({device}); allowed: {allowed}")


def own_types(model: nn.Module) -> None:
    """Let a model take and give what its surroundings compute in, whatever it computes in itself.

    Floating-point inputs are cast to the type of its parameters, outputs to float32 at least, so that losses and
    metrics never see bfloat16 or float16. (Only where it is called as a whole: `prefill` and `step` are its own.)
    """
    model.register_forward_pre_hook(_cast_inputs)
    model.register_forward_hook(_cast_outputs)


def _cast_inputs(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    dtype = next((parameter.dtype for parameter in model.parameters()), None)
    return tuple(part.to(dtype) if isinstance(part, Tensor) and part.is_floating_point() else part for part in inputs)


def _cast_outputs(model: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return precise(output) if isinstance(output, Tensor) else output
