"""The layers of an xLSTM on packed rows, by mlstm.cpp, mlstm_backward.cpp and slstm.cpp; one step by mlstm_step.cpp.

Inside an mLSTM layer, arrays are channel first, (channels, N): time is in the lanes of the kernels, and torch's matrix
products around them take either order at the same cost. tests/nn/test_native_xlstm.py compares values and gradients
with the package's layers.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import layer_norm

from seqlab.nn.native.calls import FLAG, LONG, NUMBER, POINTER, place, threads, typed
from seqlab.nn.native.convolution import CausalConvolution
from seqlab.nn.native.product import linear, matmul

# N steps of all rows one after another, B rows, C channels, I inner channels of an mLSTM layer, H heads, D head width,
# K width of the convolution, P block size of the projections to queries, keys and values


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    mlstm_blocks: Callable[..., int]
    mlstm_parameters: Callable[..., int]
    slstm_rows: Callable[..., int]
    mlstm_forward: Callable[..., None]
    mlstm_backward: Callable[..., None]
    slstm_forward: Callable[..., None]
    slstm_backward: Callable[..., None]
    mlstm_step: Callable[..., None]


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    counts = typed({"mlstm_blocks": [POINTER, LONG], "mlstm_parameters": [POINTER], "slstm_rows": []}, LONG)
    functions = typed(
        {
            "mlstm_forward": [POINTER, POINTER, NUMBER, *[POINTER] * 4, FLAG],
            "mlstm_backward": [POINTER, POINTER, NUMBER, *[POINTER] * 6, FLAG],
            "slstm_forward": [*[POINTER] * 9, FLAG],
            "slstm_backward": [*[POINTER] * 10, FLAG],
            "mlstm_step": [LONG, LONG, NUMBER, *[POINTER] * 12, FLAG],
        }
    )
    return Library(*counts, *functions)


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
            ctx.numbers, place(starts, torch.int64), sizes.norm_eps, _places(weights), *map(place, (x, out, hidden)),
            threads(x.numel()),
        )  # fmt: skip
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, starts, hidden, *weights = ctx.saved_tensors
        dout = dout.contiguous()  # has a name, so that it lives while the kernel reads it
        _, num_rows, inner, heads, taps, group = ctx.numbers
        num_blocks = library().mlstm_blocks(place(starts, torch.int64), num_rows)
        dx, parts = torch.empty_like(x), x.new_empty(num_blocks, library().mlstm_parameters(ctx.numbers))
        library().mlstm_backward(
            ctx.numbers, place(starts, torch.int64), ctx.sizes.norm_eps, _places(weights),
            *map(place, (x, hidden, dout, dx, parts)), threads(x.numel()),
        )  # fmt: skip
        # gates are rounded up to vectors
        room = (parts.shape[1] - inner * (taps + 3 + 3 * group)) // (3 * inner + 1)
        shares = [inner * taps, inner, *[inner * group] * 3, 3 * inner * room, room, inner, inner]
        dconv, dconv_bias, *dblocks, dgate, dgate_bias, dnorm, dskip = parts.sum(0).split(shares)
        dgates = dgate.view(3 * inner, room)[:, : 2 * heads].T.split(heads)
        dbiases = dgate_bias[: 2 * heads].split(heads)
        dblocks = [dblock.view(inner // group, group, group) for dblock in dblocks]
        return dx, None, None, dconv.view(inner, 1, taps), dconv_bias, *dblocks, *dgates, *dbiases, dnorm, dskip


class SLSTM(torch.autograd.Function):
    """The recurrence of an sLSTM, `slstm_scan` on packed rows, to outputs (N, H D).

    Args:
        early, late: (H, N, 2 D) float32, contiguous: the input's contribution to the gates input and forget, and cell
            and output.
        recurrent, bias: (H, D, 4 D) and (H, 4 D), for the gates in this order.
        starts: (B + 1,) int64, the first step of each row, and N.
    """

    @staticmethod
    def forward(ctx: Any, early: Tensor, late: Tensor, recurrent: Tensor, bias: Tensor, starts: Tensor) -> Tensor:
        heads, num_tokens, width = len(early), early.shape[1], early.shape[2] // 2
        ctx.numbers = (ctypes.c_int64 * 4)(num_tokens, len(starts) - 1, heads, width)
        lengths = starts.diff()
        order = lengths.argsort(descending=True, stable=True)
        rows_per_block = library().slstm_rows()
        num_steps = int(lengths[order[::rows_per_block]].sum())
        out = early.new_empty(num_tokens, heads * width)
        kept = early.new_empty(num_steps, heads, 8 * width, rows_per_block)
        recurrent, bias = recurrent.contiguous(), bias.contiguous()
        places = map(place, (early, late, recurrent, bias, out, kept))
        library().slstm_forward(ctx.numbers, *_rows(starts, order), *places, threads(early.numel()))
        ctx.save_for_backward(starts, order, recurrent, kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        starts, order, recurrent, kept = ctx.saved_tensors
        dout = dout.contiguous()  # has a name, so that it lives while the kernel reads it
        num_tokens, num_rows, heads, width = ctx.numbers
        num_blocks, lanes = -(-num_rows // kept.shape[3]), kept.shape[3] // 2  # a block is two vectors wide
        room = -(-4 * width // lanes) * lanes  # the kernel rounds up to vectors
        dearly, dlate = kept.new_empty(2, heads, num_tokens, 2 * width).unbind()
        drecurrent = kept.new_empty(num_blocks, heads, width, room)
        dbias = kept.new_empty(num_blocks, heads, 4 * width)
        places = map(place, (recurrent, kept, dout, dearly, dlate, drecurrent, dbias))
        library().slstm_backward(ctx.numbers, *_rows(starts, order), *places, threads(dearly.numel()))
        return dearly, dlate, drecurrent.sum(0)[..., : 4 * width], dbias.sum(0), None


def _places(tensors: list[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*map(place, tensors))


def _rows(starts: Tensor, order: Tensor) -> tuple[int | None, int | None]:
    return place(starts, torch.int64), place(order, torch.int64)


def mlstm(layer: Any, x_NC: Tensor, starts: Tensor) -> Tensor:
    """The package's mLSTMLayer on packed rows, (N, C) -> (N, C)."""
    cell = layer.mlstm_cell
    weight, bias = convolution_of(layer)
    out_IN = MLSTM.apply(
        matmul(layer.proj_up.weight, x_NC.T), starts, MLSTMSizes(cell.config.num_heads, cell.outnorm.eps),
        weight, bias, layer.q_proj.weight, layer.k_proj.weight,
        layer.v_proj.weight, cell.igate.weight, cell.fgate.weight, cell.igate.bias, cell.fgate.bias,
        cell.outnorm.weight_proxy, layer.learnable_skip,
    )  # fmt: skip
    return layer.dropout(linear(out_IN.T, layer.proj_down.weight))  # type: ignore[union-attr]


def mlstm_step(
    *, c_state: Tensor, n_state: Tensor, m_state: Tensor, q: Tensor, k: Tensor, v: Tensor, igate_preact: Tensor,
    fgate_preact: Tensor, eps: float = 1e-6,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:  # fmt: skip
    """One step of the recurrent form, a `Step` of seqlab/nn/mlstm.py, by mlstm_step.cpp. Float32; no gradients."""
    read = [each.contiguous() for each in (q, k, v, igate_preact, fgate_preact, c_state, n_state, m_state)]
    after = [torch.empty_like(each) for each in read[5:]]
    out = torch.empty_like(read[0])
    library().mlstm_step(
        m_state.numel(), q.shape[-1], eps, *map(place, (*read, *after, out)), threads(c_state.numel())
    )  # fmt: skip
    return out, (after[0], after[1], after[2])


def convolution_of(layer: Any) -> tuple[Tensor, Tensor]:
    """Weight (I, 1, K) and bias (I,) of an mLSTM layer's convolution; those of the identity, if it has none."""
    convolution = getattr(layer.conv1d, "conv", None)
    if convolution is not None:
        return convolution.weight, convolution.bias
    skip = layer.learnable_skip
    return skip.new_ones(len(skip), 1, 1), skip.new_zeros(len(skip))


def slstm(layer: Any, x_NC: Tensor, starts: Tensor) -> Tensor:
    """The package's sLSTMLayer on packed rows, (N, C) -> (N, C)."""
    config, cell = layer.config, layer.slstm_cell
    heads = config.num_heads
    convolved_NC = x_NC
    if config.conv1d_kernel_size:
        convolved_NC = CausalConvolution.apply(x_NC, layer.conv1d.conv.weight, layer.conv1d.conv.bias, starts)

    def project(input_NC: Tensor, *maps: Any) -> Tensor:
        weight_HFD = torch.cat([each.weight for each in maps], 1)
        return torch.bmm(input_NC.unflatten(1, (heads, -1)).transpose(0, 1), weight_HFD.mT)

    # the package calls the map to its input gates fgate, and the other igate
    early, late = project(convolved_NC, layer.fgate, layer.igate), project(x_NC, layer.zgate, layer.ogate)  # type: ignore[arg-type]
    recurrent, bias = cell.external()
    out_NC = SLSTM.apply(early, late, recurrent.flatten(2), bias.flatten(1), starts)
    # torch's group_norm is several times slower than this
    out_NHD = layer.dropout(out_NC).unflatten(1, (heads, -1))
    return layer_norm(out_NHD, out_NHD.shape[2:], eps=layer.group_norm.eps).flatten(1) * layer.group_norm.weight_proxy
