"""One GRU layer over time-major rows of different lengths on a CPU, by gru.cpp and matrix products, in float32.

tests/nn/test_native_recurrent.py compares values and gradients with plain torch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.nn.native.calls import FLAG, LONG, POINTER, place, typed
from seqlab.nn.native.product import times
from seqlab.nn.native.time_major import TimeMajor, threads_of_all_steps, weight_gradients, weights_of

# N steps of all rows, C input width, H hidden units


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    gru_forward: Callable[..., None]
    gru_backward: Callable[..., None]
    gru_room: Callable[[int, int], int]


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    functions = typed(
        {
            "gru_forward": [LONG, LONG, *[POINTER] * 8, FLAG],
            "gru_backward": [LONG, LONG, *[POINTER] * 11, FLAG],
        }
    )
    return Library(*functions, *typed({"gru_room": [FLAG, LONG]}, LONG))


class Layer(torch.autograd.Function):
    """A GRU layer from a zero state: inputs (N, C) in time-major order to hidden states (N, H). All float32.

    Args:
        weight_ih, weight_hh, bias_ih, bias_hh: (3 H, C), (3 H, H), (3 H,), (3 H,); gates r, z, n.
        order: of the steps.
        keep: what the backward pass needs.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, order: TimeMajor,
        keep: bool,
    ) -> Tensor:  # fmt: skip
        hidden = weight_hh.shape[1]
        both = 2 * hidden  # r and z, whose biases are one
        bias = torch.cat([bias_ih[:both] + bias_hh[:both], bias_ih[both:], bias_hh[both:]])
        gates, out = times(x, weight_ih.t()), x.new_empty(len(x), hidden)
        products = torch.empty_like(out) if keep else None
        room = out.new_empty(library().gru_room(False, hidden))
        tensors = (weight_hh.contiguous(), bias, gates, products, out, room)
        library().gru_forward(
            len(order.counts), hidden, *order.addresses(), *map(place, tensors), threads_of_all_steps(order, weight_hh)
        )
        if keep:
            ctx.order = order
            ctx.save_for_backward(x, weight_ih, weight_hh, gates, products, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight_ih, weight_hh, activations, products, out = ctx.saved_tensors
        order, hidden, needed = ctx.order, out.shape[1], ctx.needs_input_grad
        dout, dinput, drecurrent = dout.contiguous(), torch.empty_like(activations), torch.empty_like(activations)
        dhidden, room = out.new_empty(order.num_rows, hidden), out.new_empty(library().gru_room(True, hidden))
        weight_hh = weight_hh.contiguous()
        tensors = (weight_hh, activations, products, out, dout, dhidden, dinput, drecurrent, room)
        library().gru_backward(
            len(order.counts), hidden, *order.addresses(), *map(place, tensors), threads_of_all_steps(order, weight_hh)
        )
        found = weight_gradients(needed, order, dinput, drecurrent, x, weight_ih, out)
        dbias_ih = dinput.sum(0) if needed[3] else None
        dbias_hh = drecurrent.sum(0) if needed[4] else None
        return *found, dbias_ih, dbias_hh, None, None


def layer(x: Tensor, gru: nn.GRU, order: TimeMajor, index: int = 0) -> Tensor:
    """Layer `index` of nn.GRU from a zero state, outside of autocast: (N, C) to (N, H), both time-major."""
    return Layer.apply(x, *weights_of(gru, index), order, torch.is_grad_enabled())  # type: ignore[return-value]
