"""The middle of a Mamba block on packed rows, by convolution.cpp and scan.cpp: from in_proj to out_proj.

tests/nn/test_native_mamba.py compares values and gradients with plain torch.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqlab.nn.native import scan
from seqlab.nn.native.convolution import Convolution
from seqlab.nn.native.product import crossed, times

# B rows, N steps of all rows, D inner channels, S states per channel, R rank of the step sizes, K convolution width


class Mix(torch.autograd.Function):
    """Convolution, projections of its output to step sizes, B and C, scan, skip and gate (Gu & Dao 2023, figure 3).

    Args:
        xz: (N, 2 D) float32 or bfloat16, the input of the convolution, and the gate.
        conv_weight, conv_bias: (D, 1, K) and (D,); all parameters are float32.
        x_weight: (R + 2 S, D), to step sizes, B and C.
        dt_weight, dt_bias: (D, R) and (D,), of the step sizes.
        a, skip: (D, S), negative, and (D,).
        starts: (B + 1,) int64, the first step of each row, and N.
        signed: whether decays are 2 exp(step A) - 1 rather than exp(step A).
        keep: what the backward pass needs.
    """

    @staticmethod
    def forward(
        ctx: Any, xz: Tensor, conv_weight: Tensor, conv_bias: Tensor, x_weight: Tensor, dt_weight: Tensor,
        dt_bias: Tensor, a: Tensor, skip: Tensor, starts: Tensor, signed: bool, keep: bool,
    ) -> Tensor:  # fmt: skip
        channels, (_, rank) = len(skip), dt_weight.shape
        convolution = Convolution(xz[:, :channels], conv_weight.detach()[:, 0].t().contiguous(), conv_bias, starts)
        x = convolution.forward()
        x_weight, dt_weight = x_weight.detach().to(x.dtype), dt_weight.detach().to(x.dtype)
        projected = times(x, x_weight.t())
        delta = projected[:, :rank] @ dt_weight.t()
        _, b, c = projected.split([rank, a.shape[1], a.shape[1]], 1)
        inner = torch.empty_like(x) if keep else None
        inputs = scan.Inputs(x, delta, dt_bias, a, b, c, skip, xz[:, channels:], None)
        out = scan.forward(inputs, starts, signed=signed, inner=inner)
        ctx.signed = signed
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
        dgate = dxz[:, channels:]
        to = scan.backward(inputs, starts, dout.contiguous(), signed=ctx.signed, inner=inner, dgate=dgate)
        with torch.autocast("cpu", enabled=False):
            dprojected = torch.empty_like(projected)
            dprojected[:, :rank] = to.delta_ND @ dt_weight
            dprojected[:, rank : rank + states] = to.b_NS
            dprojected[:, rank + states :] = to.c_NS
            ddt_weight = (to.delta_ND.t() @ projected[:, :rank]).to(a.dtype)
            dx_weight = crossed(dprojected, x).to(a.dtype)
            dx = to.x_ND + times(dprojected, x_weight)
        convolution = Convolution(xz[:, :channels], weight_KD, conv_bias, starts)
        dweight_KD, dconv_bias = convolution.backward(dx, dxz[:, :channels])
        dconv = dweight_KD.t().unsqueeze(1)
        return dxz, dconv, dconv_bias, dx_weight, ddt_weight, to.bias_D, to.a_DS, to.skip_D, None, None, None


def mix(
    xz: Tensor, conv_weight: Tensor, conv_bias: Tensor, x_weight: Tensor, dt_weight: Tensor, dt_bias: Tensor, a: Tensor,
    skip: Tensor, starts: Tensor, *, signed: bool = False,
) -> Tensor:  # fmt: skip
    """`Mix`: (N, 2 D) to (N, D), of the same type."""
    arguments = (conv_weight, conv_bias, x_weight, dt_weight, dt_bias, a.contiguous(), skip, starts)
    with torch.autocast("cpu", enabled=False):
        return Mix.apply(xz.contiguous(), *arguments, signed, torch.is_grad_enabled())  # type: ignore[return-value]
