"""One LSTM layer over time-major rows of different lengths on a CPU, by lstm.cpp and matrix products.

The recurrent product of each step is part of the kernel in float32; in bfloat16 it is torch's, which knows the
processor's units.

tests/nn/test_native_recurrent.py compares values and gradients with plain torch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.nn.native.calls import FLAG, LONG, POINTER, place, threads, typed
from seqlab.nn.native.product import times
from seqlab.nn.native.time_major import TimeMajor, threads_of_all_steps, weight_gradients, weights_of

# T steps of the longest row, N steps of all rows, C input width, H hidden units

FEW_ELEMENTS = 2**14  # gates of a step below which a second thread costs more than it gains


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    lstm_forward: Callable[..., None]
    lstm_backward: Callable[..., None]
    lstm_step_forward: Callable[..., None]
    lstm_step_backward: Callable[..., None]
    lstm_room: Callable[[int, int], int]


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    functions = typed(
        {
            "lstm_forward": [LONG, LONG, POINTER, POINTER, FLAG, *[POINTER] * 6, FLAG],
            "lstm_backward": [LONG, LONG, *[POINTER] * 9, FLAG],
            "lstm_step_forward": [LONG, LONG, *[POINTER] * 7, FLAG],
            "lstm_step_backward": [LONG, LONG, LONG, *[POINTER] * 7, FLAG],
        }
    )
    return Library(*functions, *typed({"lstm_room": [FLAG, LONG]}, LONG))


def _places(tensor: Tensor, starts: list[int]) -> list[int]:
    """The addresses of the rows `starts` of a matrix."""
    assert tensor.is_contiguous() and tensor.is_cpu
    first, size = tensor.data_ptr(), tensor.stride(0) * tensor.element_size()
    return [first + size * start for start in starts]


class Layer(torch.autograd.Function):
    """An LSTM layer from zero states: inputs (N, C) in time-major order to hidden states (N, H).

    Args:
        x: float32 or bfloat16.
        weight_ih, weight_hh, bias_ih, bias_hh: (4 H, C), (4 H, H), (4 H,), (4 H,) float32; gates i, f, g, o.
        order: of the steps.
        dtype: of the matrix products and of the result, float32 or bfloat16. Gates and cells are computed in float32.
        keep: what the backward pass needs.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, order: TimeMajor,
        dtype: torch.dtype, keep: bool,
    ) -> Tensor:  # fmt: skip
        ctx.types, ctx.order = (x.dtype, weight_ih.dtype), order
        x, weight_ih, weight_hh = (tensor.detach().to(dtype) for tensor in (x, weight_ih, weight_hh))
        bias, hidden = bias_ih + bias_hh, weight_hh.shape[1]
        gates, out = times(x, weight_ih.t()), x.new_empty(len(x), hidden)
        cells = bias.new_empty(len(x) if keep else order.num_rows, hidden)
        if dtype == torch.bfloat16:
            activations = torch.empty_like(gates, dtype=torch.float32) if keep else None
            _forward_by_steps(order, weight_hh, bias, gates, activations, cells, out)
        else:
            activations = gates
            room = gates.new_empty(library().lstm_room(False, hidden))
            tensors = (weight_hh.contiguous(), bias, gates, cells, out, room)
            library().lstm_forward(
                len(order.counts), hidden, *order.addresses(), keep, *map(place, tensors),
                threads_of_all_steps(order, weight_hh),
            )  # fmt: skip
        if keep:
            ctx.save_for_backward(x, weight_ih, weight_hh, activations, cells, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight_ih, weight_hh, activations, cells, out = ctx.saved_tensors
        order, hidden, needed, (x_type, weight_type) = ctx.order, out.shape[1], ctx.needs_input_grad, ctx.types
        dout, dgates = dout.contiguous(), torch.empty_like(activations, dtype=out.dtype)
        dcell = cells.new_empty(order.num_rows, hidden)
        with torch.autocast("cpu", enabled=False):
            if out.dtype == torch.bfloat16:
                _backward_by_steps(order, weight_hh, activations, cells, dout, dcell, dgates)
            else:
                room = dgates.new_empty(library().lstm_room(True, hidden))
                tensors = (weight_hh.contiguous(), activations, cells, dout, dcell, dgates, room)
                library().lstm_backward(
                    len(order.counts), hidden, *order.addresses(), *map(place, tensors),
                    threads_of_all_steps(order, weight_hh),
                )  # fmt: skip
            found = weight_gradients(needed, order, dgates, dgates, x, weight_ih, out)
            dbias = dgates.sum(0, dtype=weight_type) if needed[3] or needed[4] else None
        types = (x_type, weight_type, weight_type)
        found = (None if one is None else one.to(dtype) for one, dtype in zip(found, types, strict=True))
        return *found, dbias, None if dbias is None else dbias.clone(), None, None, None


def _forward_by_steps(
    order: TimeMajor, weight_hh: Tensor, bias: Tensor, gates: Tensor, activations: Tensor | None, cells: Tensor,
    out: Tensor,
) -> None:  # fmt: skip
    """The steps of a layer with torch's products, in bfloat16. Without activations, `cells` has those of one step."""
    counts, starts, hidden = order.counts.tolist(), order.starts.tolist(), out.shape[1]
    recurrent = gates.new_empty(order.num_rows, 4 * hidden)
    gate_places, out_places = _places(gates, starts), _places(out, starts)
    kept_places = [None] * len(starts) if activations is None else _places(activations, starts)
    cell_places = _places(cells, [0] * len(starts) if activations is None else starts)
    outs = out.split(counts)
    for time, count in enumerate(counts):
        if time:
            torch.mm(outs[time - 1][:count], weight_hh.t(), out=recurrent[:count])
        library().lstm_step_forward(
            count, hidden, gate_places[time], place(recurrent if time else None, recurrent.dtype), place(bias),
            kept_places[time], cell_places[time - 1] if time else None, cell_places[time], out_places[time],
            threads(4 * count * hidden, FEW_ELEMENTS),
        )  # fmt: skip


def _backward_by_steps(
    order: TimeMajor, weight_hh: Tensor, activations: Tensor, cells: Tensor, dout: Tensor, dcell: Tensor, dgates: Tensor
) -> None:
    """The gradient of the gates, (N, 4 H), with torch's products, in bfloat16."""
    counts, starts, hidden, going = order.counts.tolist(), order.starts.tolist(), dout.shape[1], 0
    drecurrent, steps = dgates.new_empty(order.num_rows, hidden), dgates.split(counts)
    dgate_places, dout_places = _places(dgates, starts), _places(dout, starts)
    kept_places, cell_places = _places(activations, starts), _places(cells, starts)
    for time in range(len(counts) - 1, -1, -1):
        count = counts[time]
        library().lstm_step_backward(
            count, hidden, going, dout_places[time], place(drecurrent, drecurrent.dtype), kept_places[time],
            cell_places[time - 1] if time else None, cell_places[time], place(dcell), dgate_places[time],
            threads(4 * count * hidden, FEW_ELEMENTS),
        )  # fmt: skip
        if time:
            torch.mm(steps[time], weight_hh, out=drecurrent[:count])
        going = count


def layer(x: Tensor, lstm: nn.LSTM, order: TimeMajor, index: int = 0) -> Tensor:
    """Layer `index` of nn.LSTM from zero states: (N, C) to (N, H), both time-major. Autocast decides the type."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    with torch.autocast("cpu", enabled=False):
        return Layer.apply(x, *weights_of(lstm, index), order, dtype, torch.is_grad_enabled())  # type: ignore[return-value]
