"""Exports a model's forward pass as an ONNX graph: inputs (batch, time[, width]) to logits."""

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from seqlab.errors import InputError
from seqlab.model import SequenceModel
from seqlab.spec import Spec, Tokens

EXAMPLE_STEPS = 3  # few, so that the export of a model with a Python loop over steps fails quickly


def write_onnx(model: nn.Module, spec: Spec, file: Path) -> None:
    """Write the graph, with dynamic batch size and, for a sequence model, a dynamic number of steps.

    Raises:
        InputError: a package is missing, or the model uses something that ONNX lacks (a custom operator, a loop).
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"ONNX needs the package {missing[0]}: pip install 'seqlab[onnx]'")
    dynamic = {0: torch.export.Dim.DYNAMIC}
    steps = None
    if isinstance(model, SequenceModel):
        dynamic[1] = torch.export.Dim.DYNAMIC
        steps = EXAMPLE_STEPS
    try:
        with _quiet():
            program = torch.onnx.export(
                model, (example_inputs(spec, 2, steps),), dynamo=True, verbose=False,
                input_names=["inputs"], output_names=["logits"], dynamic_shapes=(dynamic,),
            )  # fmt: skip
    except Exception as error:  # the exporter raises many types of errors
        cause = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{type(model).__name__} cannot be exported to ONNX: {cause[0]}") from error
    assert program is not None
    graph = program.model_proto
    del graph.graph.value_info[:]  # for an LSTM the exporter records the example's number of steps
    for end in (*graph.graph.input, *graph.graph.output):
        for axis, name in zip(dynamic, ("batch", "time"), strict=False):
            end.type.tensor_type.shape.dim[axis].dim_param = name
    file.write_bytes(graph.SerializeToString())


def example_inputs(spec: Spec, batch: int, steps: int | None = None) -> Tensor:
    """Random inputs for a Spec: ids (batch, steps) or vectors (batch, steps, width); None: spec.max_length steps."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, steps or spec.max_length)
    if isinstance(spec.input, Tokens):
        return torch.randint(spec.input.size, shape, generator=generator)
    return torch.rand(*shape, spec.input.width, generator=generator)


@contextlib.contextmanager
def _quiet():
    """Suppress the exporter's messages about progress, its packages and functions of torch."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
