"""silu of a depthwise causal convolution over packed rows, by convolution.cpp."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqlab.nn.native.calls import FLAG, LONG, POINTER, place, threads, typed

# B rows, N steps of all rows, D channels, K width of the convolution


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    convolution_forward: Callable[..., None]
    convolution_backward: Callable[..., None]
    rows_per_task: int


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    functions = typed(
        {
            "convolution_forward": [FLAG, *[POINTER] * 6, FLAG],
            "convolution_backward": [FLAG, *[POINTER] * 8, FLAG],
        }
    )
    (rows_per_task,) = typed({"convolution_rows": []}, LONG)
    return Library(*functions, rows_per_task=rows_per_task())


class Convolution(NamedTuple):
    """The convolution of x, outside autograd."""

    x: Tensor  # (N, D) float32 or bfloat16, rows may be apart
    weight_KD: Tensor  # float32, like the bias
    bias_D: Tensor
    starts: Tensor  # (B + 1,) int64, the first step of each row, and N

    def _sizes(self) -> Any:
        taps, channels = self.weight_KD.shape
        return (ctypes.c_int64 * 4)(len(self.starts) - 1, channels, taps, self.x.stride(0))

    def _places(self) -> list[int | None]:
        assert self.x.is_cpu and self.x.stride(1) == 1
        return [place(self.starts, torch.int64), self.x.data_ptr(), place(self.weight_KD), place(self.bias_D)]

    def forward(self) -> Tensor:
        """(N, D), contiguous, of the type of x."""
        y = self.x.new_empty(self.x.shape)
        library().convolution_forward(
            y.dtype == torch.bfloat16, self._sizes(), *self._places(), y.data_ptr(), threads(y.numel())
        )
        return y

    def backward(self, dy: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of weight and bias. dy is overwritten; dx, with rows as far apart as those of x, is filled."""
        (taps, channels), num_rows = self.weight_KD.shape, len(self.starts) - 1
        assert dx.stride() == self.x.stride() and dx.dtype == self.x.dtype
        parts = self.bias_D.new_empty(-(-num_rows // library().rows_per_task), taps + 1, channels)
        library().convolution_backward(
            dy.dtype == torch.bfloat16, self._sizes(), *self._places(), place(dy, self.x.dtype), dx.data_ptr(),
            place(parts), threads(dy.numel()),
        )  # fmt: skip
        total = parts.sum(0)
        return total[:-1], total[-1]


class CausalConvolution(torch.autograd.Function):
    """`Convolution` of x (N, D), with the weight (D, 1, K) and the bias (D,) of an nn.Conv1d."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, starts: Tensor) -> Tensor:
        convolution = Convolution(x, weight.detach()[:, 0].t().contiguous(), bias.contiguous(), starts)
        ctx.save_for_backward(*convolution)
        return convolution.forward()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        convolution = Convolution(*ctx.saved_tensors)
        dx = torch.empty_like(convolution.x)
        dweight_KD, dbias = convolution.backward(dy.clone(memory_format=torch.contiguous_format), dx)
        return dx, dweight_KD.t().unsqueeze(1), dbias, None
