"""Attention, residual norms and activations of a Transformer on packed rows, by attention.cpp and pointwise.cpp.

tests/nn/test_native_transformer.py compares each with plain torch, in values and gradients.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.nn.native.calls import FLAG, LONG, NUMBER, POINTER, SEED, THRESHOLD, place, threads, typed

# N tokens of all rows in a row, B rows, H heads, D head width, C channels = H D, F feed-forward width


class Drop(NamedTuple):
    """Dropout whose mask is a hash of (seed, row, column); tests/reference/dropout.py computes it in plain torch."""

    seed: int
    probability: float

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Seed, threshold and scale, as the kernels take them."""
        threshold = min(round(self.probability * 2**32), 2**32 - 1)
        return ctypes.c_uint64(self.seed), ctypes.c_uint32(threshold), ctypes.c_float(2**32 / (2**32 - threshold))


NO_DROP = Drop(0, 0.0)


def new_drop(dropout: nn.Dropout) -> Drop:
    """The dropout of a layer, with a seed from torch's global generator; none outside training."""
    return Drop(int(torch.randint(2**62, ())), dropout.p) if dropout.training and dropout.p else NO_DROP


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    attention_forward: Callable[..., None]
    attention_backward: Callable[..., None]
    norm_forward: Callable[..., None]
    norm_backward: Callable[..., None]
    activate_forward: Callable[..., None]
    activate_backward: Callable[..., None]
    attention_step: Callable[..., None]
    rows_per_block: int


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    drop_and_threads = [SEED, THRESHOLD, NUMBER, FLAG]
    functions = typed(
        {
            "attention_forward": [FLAG, *[POINTER] * 6, *drop_and_threads],
            "attention_backward": [FLAG, *[POINTER] * 8, *drop_and_threads],
            "norm_forward": [FLAG, LONG, LONG, NUMBER, *[POINTER] * 8, *drop_and_threads],
            "norm_backward": [FLAG, LONG, LONG, *[POINTER] * 8, *drop_and_threads],
            "activate_forward": [FLAG, FLAG, LONG, LONG, *[POINTER] * 3, *drop_and_threads],
            "activate_backward": [FLAG, FLAG, LONG, LONG, *[POINTER] * 5, *drop_and_threads],
            "attention_step": [*[LONG] * 6, *[POINTER] * 5, FLAG],
        }
    )
    (block,) = typed({"pointwise_block": []}, LONG)
    return Library(*functions, rows_per_block=block())


class Attention(torch.autograd.Function):
    """Causal attention: qkv (N, 3 C) with queries, keys and values in this order to outputs (N, C).

    Args:
        qkv: float32 or bfloat16, contiguous.
        starts: (B + 1,) int64, the first token of each sequence, and N.
        num_heads: H.
        drop: dropout on the attention weights.
        slopes: (H,) float32 or None: what each head's scores lose with each step of distance (ALiBi).
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, starts: Tensor, num_heads: int, drop: Drop, slopes: Tensor | None = None
    ) -> Tensor:
        num_tokens, width = len(qkv), qkv.shape[1] // 3
        sizes = (ctypes.c_int64 * 4)(num_tokens, len(starts) - 1, num_heads, width // num_heads)
        out, log_sums = qkv.new_empty(num_tokens, width), torch.empty(num_heads, num_tokens, dtype=torch.float32)
        ctx.save_for_backward(qkv, starts, out, log_sums, slopes)
        ctx.sizes, ctx.drop = sizes, drop
        places = (
            place(starts, torch.int64),
            place(slopes),
            place(qkv, qkv.dtype),
            place(out, qkv.dtype),
            place(log_sums),
        )
        library().attention_forward(qkv.dtype == torch.bfloat16, sizes, *places, *drop.arguments, threads(qkv.numel()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        qkv, starts, out, log_sums, slopes = ctx.saved_tensors
        dout, dqkv = dout.contiguous(), torch.empty_like(qkv)  # in variables: the kernel reads their memory
        same = [place(tensor, qkv.dtype) for tensor in (dout, dqkv)]
        places = (
            place(starts, torch.int64),
            place(slopes),
            place(qkv, qkv.dtype),
            place(out, qkv.dtype),
            place(log_sums),
        )
        library().attention_backward(
            qkv.dtype == torch.bfloat16, ctx.sizes, *places, *same, *ctx.drop.arguments, threads(qkv.numel())
        )
        return dqkv, None, None, None, None


class ResidualNorm(torch.autograd.Function):
    """sum = x + dropout(branch + bias), and LayerNorm(sum) (Ba et al. 2016); both (N, C).

    Args:
        x: (N, C) float32.
        branch, bias: (N, C) and (C,); None for both: the norm of x alone.
        weight, shift: (C,) parameters of the norm.
        eps: epsilon of the norm.
        dtype: of the norm, float32 or bfloat16, and of branch.
        drop: dropout on the branch.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, branch: Tensor | None, bias: Tensor | None, weight: Tensor, shift: Tensor, eps: float,
        dtype: torch.dtype, drop: Drop,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        num_rows, width = x.shape
        total = x if branch is None else torch.empty_like(x)
        normed, statistics = torch.empty_like(x, dtype=dtype), x.new_empty(num_rows, 2)
        ctx.save_for_backward(total, statistics, weight)
        ctx.drop, ctx.dtype, ctx.has_branch = drop, dtype, branch is not None
        ctx.set_materialize_grads(False)
        places = [place(tensor) for tensor in (bias, weight, shift, total)]
        places = [place(x), place(branch, dtype), *places, place(normed, dtype), place(statistics)]
        library().norm_forward(
            dtype == torch.bfloat16, num_rows, width, eps, *places, *drop.arguments, threads(x.numel())
        )
        return total, normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dtotal: Tensor | None, dnormed: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        total, statistics, weight = ctx.saved_tensors
        num_rows, width = total.shape
        dnormed = torch.zeros_like(total, dtype=ctx.dtype) if dnormed is None else dnormed.contiguous()
        dx = torch.empty_like(total)
        dbranch = torch.empty_like(total, dtype=ctx.dtype) if ctx.has_branch else None
        parts = total.new_empty(-(-num_rows // library().rows_per_block), 3, width)
        dtotal = None if dtotal is None else dtotal.contiguous()
        places = [place(tensor) for tensor in (total, statistics, weight, dx)]
        places = [place(dtotal), place(dnormed, ctx.dtype), *places]
        places += [place(dbranch, ctx.dtype), place(parts)]
        library().norm_backward(
            ctx.dtype == torch.bfloat16, num_rows, width, *places, *ctx.drop.arguments, threads(total.numel())
        )
        dweight, dshift, dbias = parts.sum(0).unbind()
        return dx, dbranch, dbias if ctx.has_branch else None, dweight, dshift, None, None, None


class Activation(torch.autograd.Function):
    """dropout(activation(x + bias)), (N, F).

    Args:
        x: (N, F) float32 or bfloat16; for relu it is overwritten.
        bias: (F,).
        gelu: gelu (with the error function), else relu.
        drop: dropout.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, gelu: bool, drop: Drop) -> Tensor:
        num_rows, width = x.shape
        y = torch.empty_like(x) if gelu else x
        if not gelu:
            ctx.mark_dirty(x)
        ctx.save_for_backward(x, bias)
        ctx.gelu, ctx.drop = gelu, drop
        places = place(x, x.dtype), place(bias), place(y, x.dtype)
        library().activate_forward(
            x.dtype == torch.bfloat16, gelu, num_rows, width, *places, *drop.arguments, threads(x.numel())
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, bias = ctx.saved_tensors
        num_rows, width = x.shape
        dx, parts = torch.empty_like(x), bias.new_empty(-(-num_rows // library().rows_per_block), width)
        dy = dy.contiguous()
        places = place(dy, x.dtype), place(x, x.dtype), place(bias), place(dx, x.dtype), place(parts)
        library().activate_backward(
            x.dtype == torch.bfloat16, ctx.gelu, num_rows, width, *places, *ctx.drop.arguments, threads(x.numel()),
        )  # fmt: skip
        return dx, parts.sum(0), None, None


def causal_attention(
    qkv: Tensor, starts: Tensor, num_heads: int, dropout: nn.Dropout, slopes: Tensor | None = None
) -> Tensor:
    """`Attention`, with a layer's dropout on the weights."""
    return Attention.apply(qkv.contiguous(), starts, num_heads, new_drop(dropout), slopes)  # type: ignore[return-value]


def attention_step(qkv: Tensor, keys: Tensor, values: Tensor, length: int, slopes: Tensor | None = None) -> Tensor:
    """The outputs (B, C) of one step over a cache, into which its key and value are written. Not differentiable.

    Args:
        qkv: (B, 3 C) float32 queries, keys and values of the step.
        keys, values: (B, H, S, D) float32, whose last three axes are contiguous.
        length: the number of steps in the cache, below S.
        slopes: as in `Attention`.
    """
    batch, num_heads, room, width = keys.shape
    assert keys.dtype == values.dtype == torch.float32 and keys.stride() == values.stride()
    assert keys.stride()[1:] == (room * width, width, 1) and length < room
    qkv, out = qkv.contiguous(), qkv.new_empty(batch, num_heads * width)
    sizes = (batch, num_heads, room, width, keys.stride(0), length)
    pointers = (place(qkv), place(slopes), keys.data_ptr(), values.data_ptr(), place(out))
    library().attention_step(*sizes, *pointers, threads(batch * num_heads * (length + 1) * width))
    return out


def norm(x: Tensor, layer: nn.LayerNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x (N, C) float32, and its norm in a dtype."""
    return ResidualNorm.apply(x.contiguous(), None, None, layer.weight, layer.bias, layer.eps, dtype, NO_DROP)  # type: ignore[return-value]


def residual_norm(
    x: Tensor, branch: Tensor, bias: Tensor, layer: nn.LayerNorm, dtype: torch.dtype, dropout: nn.Dropout
) -> tuple[Tensor, Tensor]:
    """x + dropout(branch + bias), (N, C) float32, and its norm in a dtype."""
    arguments = (x, branch.to(dtype).contiguous(), bias, layer.weight, layer.bias, layer.eps, dtype, new_drop(dropout))
    return ResidualNorm.apply(*arguments)  # type: ignore[return-value]


def activation(x: Tensor, bias: Tensor, gelu: bool, dropout: nn.Dropout) -> Tensor:
    """`Activation`, with a layer's dropout."""
    return Activation.apply(x.contiguous(), bias, gelu, new_drop(dropout))  # type: ignore[return-value]
