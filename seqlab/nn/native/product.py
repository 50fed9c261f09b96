"""Matrix products in float32 on a CPU, by product.cpp: for the layers of small models, faster than torch's.

Whoever calls these has asked `takes_native` (choice.py): they are not for models that are exported or compiled.

tests/nn/test_native_product.py compares them with torch, in values and gradients.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.nn.native.calls import FLAG, LONG, POINTER, place, threads, typed

# N rows, C and F channels

FEW_TERMS = 2**21  # products below this number of terms are torch's: laying out a matrix costs more than it gains


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    matrix_product: Callable[..., None]
    product_room: Callable[[int, int], int]


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    (product,) = typed({"matrix_product": [*[POINTER] * 8, FLAG]})
    (room,) = typed({"product_room": [LONG, LONG]}, LONG)
    return Library(product, room)


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """bias + a @ b by the kernel, (N, C) @ (C, F) float32 with any strides: contiguous, without a gradient."""
    (rows, depth), columns = a.shape, b.shape[1]
    assert a.dtype == b.dtype == torch.float32 and a.is_cpu and b.is_cpu and len(b) == depth
    assert bias is None or bias.shape == (columns,)
    out = a.new_empty(rows, columns)
    if not rows * columns * depth:
        return out.zero_() if bias is None else out.copy_(bias)
    room = a.new_empty(library().product_room(depth, columns))
    sizes = (ctypes.c_int64 * 3)(rows, depth, columns)
    strides = [(ctypes.c_int64 * 2)(*matrix.stride()) for matrix in (a, b)]
    library().matrix_product(
        sizes, a.data_ptr(), strides[0], b.data_ptr(), strides[1], place(bias), place(out), place(room),
        threads(rows * depth * columns, FEW_TERMS),
    )  # fmt: skip
    return out


def times(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, (N, C) @ (C, F) of one type, without a gradient: by the kernel where it is large, and float32."""
    return product(a, b) if _is_large(a, b) else a @ b


def crossed(a: Tensor, b: Tensor) -> Tensor:
    """a' b, (N, C) and (N, F) to (C, F), as `times`; the result may be laid out by columns."""
    # what stands on the right is laid out anew: the smaller one
    return times(a.t(), b) if b.shape[1] <= a.shape[1] else times(b.t(), a).t()


def _is_large(a: Tensor, b: Tensor) -> bool:
    plain = a.dtype == b.dtype == torch.float32 and not a.is_neg() and not b.is_neg()
    return plain and a.numel() * b.shape[1] >= FEW_TERMS


class Product(torch.autograd.Function):
    """bias + a @ b in float32: (N, C) @ (C, F) with any strides; bias (F,) or None."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(a, b)
        return product(a, b, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        a, b = ctx.saved_tensors
        needed = ctx.needs_input_grad
        da = times(dout, b.t()) if needed[0] else None
        return da, crossed(a, dout) if needed[1] else None, dout.sum(0) if needed[2] else None


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, (N, C) @ (C, F): by the kernel where it is large, and float32 outside of autocast."""
    return Product.apply(a, b, None) if _is_for_the_kernel(a, b) else a @ b  # type: ignore[return-value]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch.nn.functional.linear on (N, C), as `matmul`."""
    fits = bias is None or (bias.shape == weight.shape[:1] and bias.dtype == x.dtype and bias.is_contiguous())
    if fits and _is_for_the_kernel(x, weight.t()):
        return Product.apply(x, weight.t(), bias)  # type: ignore[return-value]
    return nn.functional.linear(x, weight, bias)


def _is_for_the_kernel(a: Tensor, b: Tensor) -> bool:
    return _is_large(a, b) and not torch.is_autocast_enabled("cpu")
