"""The middle of a Mamba block on packed rows, by convolution.cpp and scan.cpp: from in_proj to out_proj.

tests/nn/test_native_mamba.py compares values and gradients with plain torch.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqlab.nn.native import build, scan

# B rows, N steps of all rows, D inner channels, S states per channel, R rank of the step sizes, K convolution width

FEW_ELEMENTS = 2**15  # below this number, a second thread costs more than it gains


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
    loaded = build.load()
    pointer, flag = ctypes.c_void_p, ctypes.c_int
    loaded.convolution_forward.argtypes = [flag, *[pointer] * 6, flag]
    loaded.convolution_backward.argtypes = [flag, *[pointer] * 8, flag]
    loaded.convolution_forward.restype = loaded.convolution_backward.restype = None
    loaded.convolution_rows.restype = ctypes.c_int64
    return Library(loaded.convolution_forward, loaded.convolution_backward, loaded.convolution_rows())


class Convolution(NamedTuple):
    """silu of a depthwise causal convolution over packed rows."""

    x: Tensor  # (N, D), rows may be apart
    weight_KD: Tensor
    bias_D: Tensor
    starts: Tensor

    def _sizes(self) -> Any:
        taps, channels = self.weight_KD.shape
        return (ctypes.c_int64 * 4)(len(self.starts) - 1, channels, taps, self.x.stride(0))

    def _places(self) -> list[int]:
        assert self.x.stride(1) == 1 and self.weight_KD.is_contiguous() and self.bias_D.is_contiguous()
        return [tensor.data_ptr() for tensor in (self.starts, self.x, self.weight_KD, self.bias_D)]

    def _threads(self) -> int:
        return 1 if self.x.numel() < FEW_ELEMENTS else torch.get_num_threads()

    def forward(self) -> Tensor:
        """(N, D), contiguous, of the type of x."""
        y = self.x.new_empty(self.x.shape)
        library().convolution_forward(
            y.dtype == torch.bfloat16, self._sizes(), *self._places(), y.data_ptr(), self._threads()
        )
        return y

    def backward(self, dy: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of weight and bias. dy is overwritten; dx, with rows as far apart as those of x, is filled."""
        (taps, channels), num_rows = self.weight_KD.shape, len(self.starts) - 1
        parts = self.bias_D.new_empty(-(-num_rows // library().rows_per_task), taps + 1, channels)
        library().convolution_backward(
            dy.dtype == torch.bfloat16, self._sizes(), *self._places(), dy.data_ptr(), dx.data_ptr(), parts.data_ptr(),
            self._threads(),
        )  # fmt: skip
        total = parts.sum(0)
        return total[:-1], total[-1]


class Mix(torch.autograd.Function):
    """Convolution, projections of its output to step sizes, B and C, scan, skip and gate (Gu & Dao 2023, figure 3).

    Args:
        xz: (N, 2 D) float32 or bfloat16, the input of the convolution, and the gate.
        conv_weight, conv_bias: (D, 1, K) and (D,); all parameters are float32.
        x_weight: (R + 2 S, D), to step sizes, B and C.
        dt_weight, dt_bias: (D, R) and (D,), of the step sizes.
        a, skip: (D, S), negative, and (D,).
        starts: (B + 1,) int64, the first step of each row, and N.
        keep: what the backward pass needs.
    """

    @staticmethod
    def forward(
        ctx: Any, xz: Tensor, conv_weight: Tensor, conv_bias: Tensor, x_weight: Tensor, dt_weight: Tensor,
        dt_bias: Tensor, a: Tensor, skip: Tensor, starts: Tensor, keep: bool,
    ) -> Tensor:  # fmt: skip
        channels, (_, rank) = len(skip), dt_weight.shape
        convolution = Convolution(xz[:, :channels], conv_weight.detach()[:, 0].t().contiguous(), conv_bias, starts)
        x = convolution.forward()
        x_weight, dt_weight = x_weight.detach().to(x.dtype), dt_weight.detach().to(x.dtype)
        projected = x @ x_weight.t()
        delta = projected[:, :rank] @ dt_weight.t()
        _, b, c = projected.split([rank, a.shape[1], a.shape[1]], 1)
        inner = torch.empty_like(x) if keep else None
        inputs = scan.Inputs(x, delta, dt_bias, a, b, c, skip, xz[:, channels:], None)
        out = scan.forward(inputs, starts, inner=inner)
        if keep:
            ctx.save_for_backward(
                xz, convolution.weight_KD, conv_bias, x_weight, dt_weight, dt_bias, a, skip, starts, x, projected,
                delta, inner,
            )  # fmt: skip
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (xz, weight_KD, conv_bias, x_weight, dt_weight, dt_bias, a, skip, starts, x, projected, delta,
         inner) = ctx.saved_tensors  # fmt: skip
        channels, rank, states = len(skip), dt_weight.shape[1], a.shape[1]
        _, b, c = projected.split([rank, states, states], 1)
        inputs = scan.Inputs(x, delta, dt_bias, a, b, c, skip, xz[:, channels:], None)
        dxz = torch.empty_like(xz)
        to = scan.backward(inputs, starts, dout.contiguous(), inner=inner, dgate=dxz[:, channels:])
        with torch.autocast("cpu", enabled=False):
            dprojected = torch.empty_like(projected)
            dprojected[:, :rank] = to.delta_ND @ dt_weight
            dprojected[:, rank : rank + states] = to.b_NS
            dprojected[:, rank + states :] = to.c_NS
            ddt_weight = (to.delta_ND.t() @ projected[:, :rank]).to(a.dtype)
            dx_weight = (dprojected.t() @ x).to(a.dtype)
            dx = torch.addmm(to.x_ND, dprojected, x_weight)
        convolution = Convolution(xz[:, :channels], weight_KD, conv_bias, starts)
        dweight_KD, dconv_bias = convolution.backward(dx, dxz[:, :channels])
        dconv = dweight_KD.t().unsqueeze(1)
        return dxz, dconv, dconv_bias, dx_weight, ddt_weight, to.bias_D, to.a_DS, to.skip_D, None, None


def mix(
    xz: Tensor, conv_weight: Tensor, conv_bias: Tensor, x_weight: Tensor, dt_weight: Tensor, dt_bias: Tensor, a: Tensor,
    skip: Tensor, starts: Tensor,
) -> Tensor:  # fmt: skip
    """`Mix`: (N, 2 D) to (N, D), of the same type."""
    arguments = (conv_weight, conv_bias, x_weight, dt_weight, dt_bias, a.contiguous(), skip, starts)
    with torch.autocast("cpu", enabled=False):
        return Mix.apply(xz.contiguous(), *arguments, torch.is_grad_enabled())  # type: ignore[return-value]
