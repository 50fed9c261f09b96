"""Mamba (Gu & Dao 2023), with the parameter names of the package mamba-ssm."""

import dataclasses
import math
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, silu, softplus

from seqlab.model import SequenceModel, precise, zeros
from seqlab.nn.embedding import input_layer
from seqlab.nn.native import mamba as native
from seqlab.nn.native.choice import is_plain, takes_native
from seqlab.nn.native.product import linear as linear_by_kernel
from seqlab.nn.scan import Backend, Eigenvalues, cuda_kernel, selective_scan
from seqlab.ragged import real_steps, row_starts
from seqlab.spec import Classes, Spec, Tokens

# B batch, T time, C channels of the residual stream, D inner channels, N states per channel, K = d_conv - 1, L layers,
# P steps of all rows in a row


class MambaState(NamedTuple):
    """The last inputs of each layer's convolution, and the state of its scan. The size does not depend on the time."""

    conv_BLKD: Tensor
    scan_BLDN: Tensor


class Mixer(nn.Module):
    """Projection, causal convolution, selective scan, gate, projection (figure 3)."""

    def __init__(self, *, d_model: int, d_state: int, d_conv: int, expand: int, num_layers: int,
                 eigenvalues: Eigenvalues, backend: Backend):  # fmt: skip
        super().__init__()
        d_inner, dt_rank = expand * d_model, math.ceil(d_model / 16)
        self.sizes = [dt_rank, d_state, d_state]
        self.eigenvalues: Eigenvalues = eigenvalues
        self.backend: Backend = backend
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.empty(d_inner, d_state))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self.A_log._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters(num_layers)

    @torch.no_grad()
    def reset_parameters(self, num_layers: int, dt_min: float = 1e-3, dt_max: float = 0.1) -> None:
        """Initialise like mamba-ssm: A = -1 .. -N (S4D-real), log-uniform step sizes, small residual branches."""
        self.A_log.copy_(torch.arange(1, self.A_log.shape[1] + 1).log())
        nn.init.uniform_(self.dt_proj.weight, -(self.sizes[0] ** -0.5), self.sizes[0] ** -0.5)
        log_dt = torch.empty_like(self.dt_proj.bias).uniform_(math.log(dt_min), math.log(dt_max))
        dt = log_dt.exp().clamp(min=1e-4)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        self.out_proj.weight /= math.sqrt(num_layers)

    def forward(self, u_BTC: Tensor, conv_BKD: Tensor, h_BDN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the outputs for a chunk, and the next convolution inputs and scan state."""
        x_BTD, gate_BTD = self.in_proj(u_BTC).chunk(2, dim=-1)
        window = torch.cat([conv_BKD.to(x_BTD.dtype), x_BTD], dim=1)
        x_BTD = silu(causal_convolution(window, self.conv1d))
        dt, b_BTN, c_BTN = self.x_proj(x_BTD).split(self.sizes, dim=-1)
        # the scan exponentiates and sums these: at least float32
        delta_BTD = softplus(precise(linear(dt, self.dt_proj.weight)) + precise(self.dt_proj.bias))
        a_DN = -torch.exp(precise(self.A_log))
        y_BTD, h_BDN = selective_scan(
            x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN, eigenvalues=self.eigenvalues, backend=self.backend
        )
        y_BTD = torch.addcmul(y_BTD, self.D.to(x_BTD.dtype), x_BTD) * silu(gate_BTD)
        return self.out_proj(y_BTD), window[:, x_BTD.shape[1] :].to(conv_BKD.dtype), h_BDN

    def is_plain(self) -> bool:
        """Whether nobody has replaced its layers or hooked onto them."""
        linear_maps = (self.in_proj, self.x_proj, self.dt_proj, self.out_proj)
        return all(is_plain(layer, nn.Linear) for layer in linear_maps) and is_plain(self.conv1d, nn.Conv1d)

    def packed(self, u_PC: Tensor, starts: Tensor) -> Tensor:
        """The outputs (P, C) of whole packed rows, with the native kernels. starts: (B + 1,), their first steps."""
        conv, bias = self.conv1d, self.conv1d.bias
        assert bias is not None
        projections = (self.x_proj.weight, self.dt_proj.weight, self.dt_proj.bias)
        xz_PE = linear_by_kernel(u_PC, self.in_proj.weight)
        a_DN, signed = -torch.exp(self.A_log), self.eigenvalues == "signed"
        y_PD = native.mix(xz_PE, conv.weight, bias, *projections, a_DN, self.D, starts, signed=signed)
        return linear_by_kernel(y_PD, self.out_proj.weight)


class Block(nn.Module):
    """A residual branch: RMSNorm, then mixer."""

    def __init__(self, mixer: nn.Module, d_model: int):
        super().__init__()
        self.norm = nn.RMSNorm(d_model, eps=1e-5)
        self.mixer: Any = mixer


class Backbone(nn.Module):
    """The parts of the model under their names in mamba-ssm."""

    def __init__(self, embedding: nn.Module, layers: list[Block], d_model: int):
        super().__init__()
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.norm_f = nn.RMSNorm(d_model, eps=1e-5)


class Mamba(SequenceModel):
    """Embedding, Mamba blocks, RMSNorm, a linear head without bias.

    Its state dict matches that of mamba_ssm's MambaLMHeadModel, and that of transformers' MambaForCausalLM except for
    one name: backbone.embeddings there is backbone.embedding here.

    Args:
        spec: input and output format; spec.max_length is no limit.
        d_model: width of the residual stream.
        num_layers: number of layers.
        d_state: states per channel.
        d_conv: width of the causal convolution, in steps.
        expand: ratio of inner channels to d_model.
        eigenvalues: `positive`: a state is multiplied by exp(delta A) at each step, as published. `signed`: by
            2 exp(delta A) - 1, between -1 and 1, so that one layer can compute parity (Grazzi et al. 2025). The
            parameters are the same; their meaning is not.
        tie_embeddings: tie the head's weights to the embedding.
        pad_vocab_multiple: pad the rows of embedding and head to a multiple of this; logits are not padded.
        backend: implementation of the scan (seqlab/nn/scan.py); `auto` takes the fastest available one. Where it is
            native, C++ kernels (seqlab/nn/native) also compute the convolution and the gate of whole sequences.

    Raises:
        ValueError: tie_embeddings or pad_vocab_multiple is used without a common vocabulary of inputs and outputs, or
            backend=cuda without mamba_ssm.
    """

    endless_state = True

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 8,
        d_state: Annotated[int, Ge(1)] = 32,
        d_conv: Annotated[int, Ge(1)] = 8,
        expand: Annotated[int, Ge(1)] = 2,
        eigenvalues: Eigenvalues = "positive",
        tie_embeddings: bool = False,
        pad_vocab_multiple: Annotated[int, Ge(1)] = 1,
        backend: Backend = "auto",
    ):
        super().__init__(spec)
        one_vocabulary = spec.input == Tokens(spec.output.width) and isinstance(spec.output, Classes)
        if (tie_embeddings or pad_vocab_multiple > 1) and not one_vocabulary:
            raise ValueError(
                f"tie_embeddings={tie_embeddings} and pad_vocab_multiple={pad_vocab_multiple} need the same tokens in "
                f"and out, not {spec.input} and {spec.output}"
            )
        if backend == "cuda":
            cuda_kernel()
        width = spec.output.width + -spec.output.width % pad_vocab_multiple
        padded = dataclasses.replace(spec, input=Tokens(width)) if one_vocabulary else spec
        layers = [
            Block(
                Mixer(
                    d_model=d_model,
                    d_state=d_state,
                    d_conv=d_conv,
                    expand=expand,
                    num_layers=num_layers,
                    eigenvalues=eigenvalues,
                    backend=backend,
                ),
                d_model,
            )
            for _ in range(num_layers)
        ]
        self.backbone = Backbone(input_layer(padded, d_model), layers, d_model)
        self.lm_head = nn.Linear(d_model, width, bias=False)
        if isinstance(self.backbone.embedding, nn.Embedding):
            nn.init.normal_(self.backbone.embedding.weight, std=0.02)
            if tie_embeddings:
                self.lm_head.weight = self.backbone.embedding.weight
        self.conv_shape = (num_layers, d_conv - 1, expand * d_model)
        self.scan_shape = (num_layers, expand * d_model, d_state)
        self.backend: Backend = backend

    def _is_native(self) -> bool:
        # elsewhere, `selective_scan` chooses
        weight = self.lm_head.weight
        plain = weight.is_cpu and all(layer.mixer.is_plain() for layer in self._layers())
        return plain and self.backend != "cuda" and takes_native("selective scan", self.backend, weight)

    def _layers(self) -> list[Block]:
        return list(self.backbone.layers)  # type: ignore[return-value]

    def _logits(self, x: Tensor) -> Tensor:
        return self.lm_head(self.backbone.norm_f(x))[..., : self.spec.output.width]

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        if not self._is_native():
            return super().packed(inputs, lengths)
        return self._logits(self._read(inputs[real_steps(lengths, inputs.shape[1])], row_starts(lengths)))

    def _read(self, inputs: Tensor, starts: Tensor) -> Tensor:
        """The residual stream after all layers, (P, C), of packed rows, with the native kernels."""
        x_PC = self.backbone.embedding(inputs).to(self.lm_head.weight.dtype)
        for layer in self._layers():
            x_PC = x_PC + layer.mixer.packed(layer.norm(x_PC), starts)
        return x_PC

    def forward(self, inputs: Tensor) -> Tensor:
        if not self._is_native():
            return super().forward(inputs)
        batch, time = inputs.shape[:2]
        starts = torch.arange(batch + 1) * time
        return self._logits(self._read(inputs.flatten(0, 1), starts).unflatten(0, (batch, time)))

    def init_state(self, batch: int, length: int | None = None) -> MambaState:
        dtype = precise(self.lm_head.weight[:0]).dtype
        return MambaState(zeros(self, batch, *self.conv_shape), zeros(self, batch, *self.scan_shape, dtype=dtype))

    def prefill(self, inputs: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        # the residual stream keeps the type of the parameters, under autocast too
        x_BTC = self.backbone.embedding(inputs).to(self.lm_head.weight.dtype)
        after = []
        for layer, *before in zip(self._layers(), *(part.unbind(1) for part in state), strict=True):
            y_BTC, *layer_state = layer.mixer(layer.norm(x_BTC), *before)
            x_BTC = x_BTC + y_BTC
            after.append(layer_state)
        conv_BLKD, scan_BLDN = (torch.stack(parts, 1) for parts in zip(*after, strict=True))
        return self._logits(x_BTC), MambaState(conv_BLKD, scan_BLDN)


def causal_convolution(window: Tensor, layer: nn.Conv1d) -> Tensor:
    """Apply a depthwise nn.Conv1d along time: (B, K + T, D) to (B, T, D).

    It runs as a 2D convolution of height 1, whose channels-last layout equals batch, time, channels. On a CPU this is
    three times as fast.
    """
    image_BD1T = window.transpose(1, 2).unsqueeze(2)
    output_BD1T = conv2d(image_BD1T, layer.weight.unsqueeze(2), layer.bias, groups=layer.groups)
    return output_BD1T.squeeze(2).transpose(1, 2).contiguous()
