"""The inside of an mLSTM layer on packed rows, by mlstm.cpp.

Inside a layer, arrays are channel first, (channels, N): time is in the lanes of the kernels, and torch's matrix products
around them take either order at the same cost. tests/nn/test_native_xlstm.py compares values and gradients with the
package's layers.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from seqlab.nn.native import build

# N steps of all rows one after another, B rows, C channels, I inner channels of an mLSTM layer, H heads, K width of the
# convolution, P block size of the projections to queries, keys and values

FEW_ELEMENTS = 2**15  # below this number, a second thread costs more than it gains


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    mlstm_blocks: Callable[..., int]
    mlstm_parameters: Callable[..., int]
    mlstm_forward: Callable[..., None]
    mlstm_backward: Callable[..., None]


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    loaded = build.load()
    pointer, long, number, flag = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
    types = {
        "mlstm_blocks": (long, [pointer, long]),
        "mlstm_parameters": (long, [pointer]),
        "mlstm_forward": (None, [pointer, pointer, number, *[pointer] * 4, flag]),
        "mlstm_backward": (None, [pointer, pointer, number, *[pointer] * 6, flag]),
    }
    functions = [getattr(loaded, name) for name in types]
    for function, (result, arguments) in zip(functions, types.values(), strict=True):
        function.argtypes, function.restype = arguments, result
    return Library(*functions)


def _place(tensor: Tensor) -> int:
    assert tensor.is_contiguous() and tensor.is_cpu and tensor.dtype in (torch.float32, torch.int64)
    return tensor.data_ptr()


def _threads(num_elements: int) -> int:
    return 1 if num_elements < FEW_ELEMENTS else torch.get_num_threads()


class MLSTMSizes(NamedTuple):
    """What the kernel has to know beside its tensors."""

    num_heads: int
    norm_eps: float


class MLSTM(torch.autograd.Function):
    """All of an mLSTM layer between its projections up and down: x (2 I, N), in it the gates of outputs, to (I, N).

    Args:
        x: float32, contiguous.
        starts: (B + 1,) int64, the first step of each row, and N.
        sizes: heads and the epsilon of the norm.
        conv_weight, conv_bias: (I, 1, K) and (I,).
        query, key, value: (I / P, P, P).
        input_weight, forget_weight, input_bias, forget_bias: (H, 3 I) and (H,), of the gates.
        norm, skip: (I,).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, starts: Tensor, sizes: MLSTMSizes, conv_weight: Tensor, conv_bias: Tensor, query: Tensor,
        key: Tensor, value: Tensor, input_weight: Tensor, forget_weight: Tensor, input_bias: Tensor,
        forget_bias: Tensor, norm: Tensor, skip: Tensor,
    ) -> Tensor:  # fmt: skip
        gate_weight, gate_bias = torch.cat([input_weight, forget_weight]), torch.cat([input_bias, forget_bias])
        weights = [conv_weight, conv_bias, query, key, value, gate_weight, gate_bias, norm, skip]
        weights = [weight.contiguous() for weight in weights]
        inner, num_tokens = len(x) // 2, x.shape[1]
        numbers = (num_tokens, len(starts) - 1, inner, sizes.num_heads, conv_weight.shape[2], query.shape[2])
        ctx.numbers, ctx.sizes = (ctypes.c_int64 * 6)(*numbers), sizes
        out, hidden = x.new_empty(2, inner, num_tokens).unbind()
        ctx.save_for_backward(x, starts, hidden, *weights)
        library().mlstm_forward(
            ctx.numbers, _place(starts), sizes.norm_eps, _places(weights), *map(_place, (x, out, hidden)),
            _threads(x.numel()),
        )  # fmt: skip
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, starts, hidden, *weights = ctx.saved_tensors
        num_tokens, num_rows, inner, heads, taps, group = ctx.numbers
        num_blocks = library().mlstm_blocks(_place(starts), num_rows)
        dx, parts = torch.empty_like(x), x.new_empty(num_blocks, library().mlstm_parameters(ctx.numbers))
        library().mlstm_backward(
            ctx.numbers, _place(starts), ctx.sizes.norm_eps, _places(weights),
            *map(_place, (x, hidden, dout.contiguous(), dx, parts)), _threads(x.numel()),
        )  # fmt: skip
        room = (parts.shape[1] - inner * (taps + 3 + 3 * group)) // (3 * inner + 1)
        shares = [inner * taps, inner, *[inner * group] * 3, 3 * inner * room, room, inner, inner]
        dconv, dconv_bias, *dblocks, dgate, dgate_bias, dnorm, dskip = parts.sum(0).split(shares)
        dgates = dgate.view(3 * inner, room)[:, : 2 * heads].T.split(heads)
        dbiases = dgate_bias[: 2 * heads].split(heads)
        dblocks = [dblock.view(inner // group, group, group) for dblock in dblocks]
        return dx, None, None, dconv.view(inner, 1, taps), dconv_bias, *dblocks, *dgates, *dbiases, dnorm, dskip


def _places(tensors: list[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*map(_place, tensors))


def mlstm(layer: Any, x_NC: Tensor, starts: Tensor) -> Tensor:
    """The package's mLSTMLayer on packed rows, (N, C) -> (N, C)."""
    cell = layer.mlstm_cell
    out_IN = MLSTM.apply(
        layer.proj_up.weight @ x_NC.T, starts, MLSTMSizes(cell.config.num_heads, cell.outnorm.eps),
        layer.conv1d.conv.weight, layer.conv1d.conv.bias, layer.q_proj.weight, layer.k_proj.weight,
        layer.v_proj.weight, cell.igate.weight, cell.fgate.weight, cell.igate.bias, cell.fgate.bias,
        cell.outnorm.weight_proxy, layer.learnable_skip,
    )  # fmt: skip
    return layer.dropout(linear(out_IN.T, layer.proj_down.weight))  # type: ignore[union-attr]
