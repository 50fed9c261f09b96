"""DeltaNet (Schlag et al. 2021; the architecture of Yang et al. 2024): a memory that the delta rule overwrites."""

from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn.functional import normalize, silu

from seqlab.model import SequenceModel, precise, zeros
from seqlab.models.mamba import causal_convolution
from seqlab.nn.delta import delta_rule
from seqlab.nn.embedding import input_layer
from seqlab.nn.scan import Eigenvalues
from seqlab.spec import Spec

# B batch, T time, C channels, H heads, D head width, K = d_conv - 1, L layers, F feed-forward width


class DeltaState(NamedTuple):
    """The last inputs of each layer's convolution, and its memory. The size does not depend on the time."""

    conv_BLKC: Tensor  # of queries, keys and values: 3 C channels
    memory_BLHDD: Tensor


class Mixer(nn.Module):
    """Queries, keys and values through a short convolution, the delta rule, a norm for each head, a linear map."""

    def __init__(self, *, d_model: int, num_heads: int, d_conv: int, eigenvalues: Eigenvalues):
        super().__init__()
        self.num_heads = num_heads
        self.most = 2.0 if eigenvalues == "signed" else 1.0  # beta is below it
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.conv1d = nn.Conv1d(3 * d_model, 3 * d_model, d_conv, groups=3 * d_model, bias=False)
        self.beta = nn.Linear(d_model, num_heads, bias=False)
        self.norm = nn.RMSNorm(d_model // num_heads, eps=1e-5)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTC: Tensor, conv_BKC: Tensor, memory_BHDD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the outputs for a chunk, and the next convolution inputs and memory."""
        projected = self.qkv(x_BTC)
        window = torch.cat([conv_BKC.to(projected.dtype), projected], dim=1)
        mixed = silu(causal_convolution(window, self.conv1d))
        q, k, v = mixed.unflatten(-1, (3, self.num_heads, -1)).unbind(2)
        # the memory sums these up: at least float32
        q, k = (normalize(precise(part), dim=-1) for part in (q, k))
        beta_BTH = self.most * torch.sigmoid(precise(self.beta(x_BTC)))
        y_BTHD, memory_BHDD = delta_rule(q, k, v, beta_BTH, memory_BHDD)
        y_BTC = self.out(self.norm(y_BTHD.to(self.norm.weight.dtype)).flatten(2))
        return y_BTC, window[:, x_BTC.shape[1] :].to(conv_BKC.dtype), memory_BHDD


class FeedForward(nn.Module):
    """W2 (silu(W1 x) * V x), without biases: SwiGLU (Shazeer 2020)."""

    def __init__(self, d_model: int, ff_dim: int):
        super().__init__()
        self.linear1 = nn.Linear(d_model, 2 * ff_dim, bias=False)
        self.linear2 = nn.Linear(ff_dim, d_model, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        gate, value = self.linear1(x_BTC).chunk(2, dim=-1)
        return self.linear2(silu(gate) * value)


class Block(nn.Module):
    """Two residual branches: RMSNorm and mixer, RMSNorm and feed-forward layer."""

    def __init__(self, mixer: Mixer, feed_forward: FeedForward, d_model: int):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(d_model, eps=1e-5), nn.RMSNorm(d_model, eps=1e-5)
        self.mixer, self.feed_forward = mixer, feed_forward


class DeltaNet(SequenceModel):
    """Embedding, DeltaNet blocks, RMSNorm, a linear head without bias.

    Each head has a matrix as its memory. A step overwrites, in part, the value that the memory has for its key. Queries
    and keys have length 1.

    Args:
        spec: input and output format; spec.max_length is no limit.
        d_model: width of the residual stream.
        num_layers: number of layers.
        num_heads: number of heads; must divide d_model.
        ff_dim: width of the feed-forward layers.
        d_conv: width of the causal convolution of queries, keys and values, in steps; 1: it only scales.
        eigenvalues: `positive`: beta is in 0 .. 1, as published. `signed`: in 0 .. 2, so that a memory can change its
            sign, and one layer can compute parity (Grazzi et al. 2025). The parameters are the same.

    Raises:
        ValueError: num_heads does not divide d_model.
    """

    endless_state = True

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 4,
        num_heads: Annotated[int, Ge(1)] = 4,
        ff_dim: Annotated[int, Ge(1)] = 128,
        d_conv: Annotated[int, Ge(1)] = 4,
        eigenvalues: Eigenvalues = "positive",
    ):
        super().__init__(spec)
        if d_model % num_heads:
            divisors = [n for n in range(1, d_model + 1) if d_model % n == 0]
            raise ValueError(f"num_heads={num_heads} does not divide d_model={d_model}; allowed: {divisors}")
        self.embedding = input_layer(spec, d_model)
        self.layers = nn.ModuleList(
            Block(
                Mixer(d_model=d_model, num_heads=num_heads, d_conv=d_conv, eigenvalues=eigenvalues),
                FeedForward(d_model, ff_dim),
                d_model,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.RMSNorm(d_model, eps=1e-5)
        self.head = nn.Linear(d_model, spec.output.width, bias=False)
        self.conv_shape = (num_layers, d_conv - 1, 3 * d_model)
        self.memory_shape = (num_layers, num_heads, d_model // num_heads, d_model // num_heads)

    def init_state(self, batch: int, length: int | None = None) -> DeltaState:
        dtype = precise(self.head.weight[:0]).dtype
        return DeltaState(zeros(self, batch, *self.conv_shape), zeros(self, batch, *self.memory_shape, dtype=dtype))

    def prefill(self, inputs: Tensor, state: DeltaState) -> tuple[Tensor, DeltaState]:
        # the residual stream keeps the type of the parameters, under autocast too
        x_BTC = self.embedding(inputs).to(self.head.weight.dtype)
        after = []
        for layer, *before in zip(self.layers, *(part.unbind(1) for part in state), strict=True):
            y_BTC, *layer_state = layer.mixer(layer.norm1(x_BTC), *before)
            x_BTC = x_BTC + y_BTC
            x_BTC = x_BTC + layer.feed_forward(layer.norm2(x_BTC))
            after.append(layer_state)
        conv_BLKC, memory_BLHDD = (torch.stack(parts, 1) for parts in zip(*after, strict=True))
        return self.head(self.norm(x_BTC)), DeltaState(conv_BLKC, memory_BLHDD)
