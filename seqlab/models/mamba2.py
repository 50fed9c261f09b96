"""Mamba 2 (Dao & Gu 2024), with the parameter names of the package mamba-ssm."""

import math
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from seqlab.model import SequenceModel, precise, zeros
from seqlab.models.mamba import Backbone, Block, causal_convolution
from seqlab.nn.embedding import input_layer
from seqlab.nn.scan import Eigenvalues
from seqlab.nn.ssd import decayed_sums
from seqlab.spec import Spec

# B batch, T time, C channels of the residual stream, D inner channels, H heads, P head width (D = H P), N states,
# K = d_conv - 1, E = D + 2 N channels of the convolution, L layers


class Mamba2State(NamedTuple):
    """The last inputs of each layer's convolution, and the state of its heads. The size does not depend on the time."""

    conv_BLKE: Tensor
    heads_BLHPN: Tensor


class GatedNorm(nn.Module):
    """RMSNorm of x silu(gate), eps 1e-5."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        gated = precise(x) * silu(precise(gate))
        return (gated * torch.rsqrt(gated.square().mean(-1, keepdim=True) + 1e-5)).to(gate.dtype) * self.weight


class Mixer(nn.Module):
    """Projection, causal convolution, heads with one decay each, gate and norm, projection (figure 6, parallel)."""

    def __init__(
        self, *, d_model: int, num_heads: int, d_state: int, d_conv: int, expand: int, eigenvalues: Eigenvalues
    ):
        super().__init__()
        d_inner = expand * d_model
        self.sizes = [d_inner, d_state, d_state]
        self.is_signed = eigenvalues == "signed"
        self.in_proj = nn.Linear(d_model, 2 * d_inner + 2 * d_state + num_heads, bias=False)
        self.conv1d = nn.Conv1d(sum(self.sizes), sum(self.sizes), d_conv, groups=sum(self.sizes))
        self.dt_bias = nn.Parameter(torch.empty(num_heads))
        self.A_log = nn.Parameter(torch.empty(num_heads))
        self.D = nn.Parameter(torch.ones(num_heads))
        self.norm = GatedNorm(d_inner)
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, dt_min: float = 1e-3, dt_max: float = 0.1) -> None:
        """Initialise like mamba-ssm: decay rates uniform in 1 .. 16, log-uniform step sizes."""
        self.A_log.uniform_(1, 16).log_()
        dt = torch.empty_like(self.dt_bias).uniform_(math.log(dt_min), math.log(dt_max)).exp().clamp(min=1e-4)
        self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus

    def forward(self, u_BTC: Tensor, conv_BKE: Tensor, state_BHPN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the outputs for a chunk, and the next convolution inputs and state."""
        d_inner, num_heads = self.sizes[0], len(self.D)
        gate_BTD, inner_BTE, dt = self.in_proj(u_BTC).split([d_inner, sum(self.sizes), num_heads], dim=-1)
        window = torch.cat([conv_BKE.to(inner_BTE.dtype), inner_BTE], dim=1)
        x, b_BTN, c_BTN = silu(causal_convolution(window, self.conv1d)).split(self.sizes, dim=-1)
        # these are exponentiated and multiplied up: at least float32
        delta_BTH = softplus(precise(dt) + precise(self.dt_bias))
        decay_BTH = torch.exp(-delta_BTH * torch.exp(precise(self.A_log)))
        if self.is_signed:
            decay_BTH = 2 * decay_BTH - 1
        x_BTHP = precise(x.unflatten(-1, (num_heads, -1)))
        y_BTHP, state_BHPN = decayed_sums(delta_BTH.unsqueeze(-1) * x_BTHP, decay_BTH, b_BTN, c_BTN, state_BHPN)
        y_BTHP = y_BTHP + precise(self.D).unsqueeze(-1) * x_BTHP
        y_BTC = self.out_proj(self.norm(y_BTHP.flatten(2), gate_BTD))
        return y_BTC, window[:, u_BTC.shape[1] :].to(conv_BKE.dtype), state_BHPN


class Mamba2(SequenceModel):
    """Embedding, Mamba 2 blocks, RMSNorm, a linear head without bias.

    Its state dict matches that of transformers' Mamba2ForCausalLM except for one name: backbone.embeddings there is
    backbone.embedding here. All heads share B and C (one group).

    Args:
        spec: input and output format; spec.max_length is no limit.
        d_model: width of the residual stream.
        num_layers: number of layers.
        num_heads: number of heads, each with a decay of its own; must divide expand times d_model.
        d_state: states per channel.
        d_conv: width of the causal convolution, in steps.
        expand: ratio of inner channels to d_model.
        eigenvalues: `positive`: a state is multiplied by exp(delta A) at each step, as published. `signed`: by
            2 exp(delta A) - 1 (Grazzi et al. 2025). The parameters are the same; their meaning is not.

    Raises:
        ValueError: num_heads does not divide expand times d_model.
    """

    endless_state = True

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 4,
        num_heads: Annotated[int, Ge(1)] = 4,
        d_state: Annotated[int, Ge(1)] = 32,
        d_conv: Annotated[int, Ge(1)] = 4,
        expand: Annotated[int, Ge(1)] = 2,
        eigenvalues: Eigenvalues = "positive",
    ):
        super().__init__(spec)
        d_inner = expand * d_model
        if d_inner % num_heads:
            divisors = [n for n in range(1, d_inner + 1) if d_inner % n == 0]
            raise ValueError(f"num_heads={num_heads} does not divide {d_inner}, the inner width; allowed: {divisors}")
        layers = [
            Block(
                Mixer(
                    d_model=d_model,
                    num_heads=num_heads,
                    d_state=d_state,
                    d_conv=d_conv,
                    expand=expand,
                    eigenvalues=eigenvalues,
                ),
                d_model,
            )
            for _ in range(num_layers)
        ]
        self.backbone = Backbone(input_layer(spec, d_model), layers, d_model)
        self.lm_head = nn.Linear(d_model, spec.output.width, bias=False)
        if isinstance(self.backbone.embedding, nn.Embedding):
            nn.init.normal_(self.backbone.embedding.weight, std=0.02)
        self.conv_shape = (num_layers, d_conv - 1, d_inner + 2 * d_state)
        self.heads_shape = (num_layers, num_heads, d_inner // num_heads, d_state)

    def init_state(self, batch: int, length: int | None = None) -> Mamba2State:
        dtype = precise(self.lm_head.weight[:0]).dtype
        return Mamba2State(zeros(self, batch, *self.conv_shape), zeros(self, batch, *self.heads_shape, dtype=dtype))

    def prefill(self, inputs: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        # the residual stream keeps the type of the parameters, under autocast too
        x_BTC = self.backbone.embedding(inputs).to(self.lm_head.weight.dtype)
        after = []
        for layer, *before in zip(self.backbone.layers, *(part.unbind(1) for part in state), strict=True):
            y_BTC, *layer_state = layer.mixer(layer.norm(x_BTC), *before)
            x_BTC = x_BTC + y_BTC
            after.append(layer_state)
        conv_BLKE, heads_BLHPN = (torch.stack(parts, 1) for parts in zip(*after, strict=True))
        return self.lm_head(self.backbone.norm_f(x_BTC)), Mamba2State(conv_BLKE, heads_BLHPN)
