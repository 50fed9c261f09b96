"""Input layers: what a model reads, as vectors of width d_model."""

import math

import torch
from torch import Tensor, nn

from seqlab.spec import Spec, Tokens


class ScaledEmbedding(nn.Embedding):
    """Token embedding multiplied by sqrt(d_model) (Vaswani et al. 2017, section 3.4).

    Rows start as N(0, 1/d_model), so that what leaves has unit variance and does not drown the positions.
    """

    def reset_parameters(self) -> None:
        """Rows as N(0, 1/d_model)."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * math.sqrt(self.embedding_dim)


class FourierFeatures(nn.Module):
    """Integers 0 .. size-1 as sin and cos of 2 pi k x / size, k = 1 .. num_waves, then a linear map to d_model.

    Sums of integers are sums of angles, so that a rule such as x + d is a rotation, the same for all x. The map starts
    so that what leaves has unit variance and is not drowned by positions.
    """

    def __init__(self, size: int, d_model: int, num_waves: int):
        super().__init__()
        angles = torch.arange(size).unsqueeze(1) * torch.arange(1, num_waves + 1) * (2 * math.pi / size)
        self.table: Tensor
        self.register_buffer("table", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)
        self.linear = nn.Linear(2 * num_waves, d_model)
        nn.init.normal_(self.linear.weight, std=num_waves**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self.table[ids])


class ScalarInput(nn.Module):
    """Integers 0 .. size-1 as one number x / (size - 1), then a linear map to d_model."""

    def __init__(self, size: int, d_model: int):
        super().__init__()
        self.size = size
        self.linear = nn.Linear(1, d_model)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear((ids / (self.size - 1)).unsqueeze(-1).to(self.linear.weight.dtype))


def input_layer(spec: Spec, d_model: int, *, scaled: bool = False) -> nn.Module:
    """The layer from `spec.input` to (batch, time, d_model): as the tokens say, or a linear map for vectors.

    Args:
        scaled: multiply learned token embeddings by sqrt(d_model), as a Transformer does.

    Raises:
        ValueError: for the embedding `pair`, which holds a position: only a model with positions can make it.
    """
    if not isinstance(spec.input, Tokens):
        return nn.Linear(spec.input.width, d_model)
    if spec.input.embedding == "pair":
        raise ValueError(
            "embedding=pair needs a model with positions (the Transformer); others: learned, fourier, scalar"
        )
    if spec.input.embedding == "fourier":
        return FourierFeatures(spec.input.size, d_model, spec.input.num_waves)
    if spec.input.embedding == "scalar":
        return ScalarInput(spec.input.size, d_model)
    return (ScaledEmbedding if scaled else nn.Embedding)(spec.input.size, d_model)


def learned_embedding(layer: nn.Module) -> nn.Embedding:
    """The layer, if it is a table of learned vectors.

    Raises:
        ValueError: if it is not.
    """
    if not isinstance(layer, nn.Embedding):
        raise ValueError("tied weights and embedding_range need tokens with learned embeddings (embedding=learned)")
    return layer


def tie(head: nn.Linear, embedding: nn.Module) -> None:
    """Let a head and an embedding share one matrix; the head keeps a bias of its own.

    Raises:
        ValueError: when the embedding is none, or of another shape.
    """
    weight = learned_embedding(embedding).weight
    if weight.shape != head.weight.shape:
        raise ValueError(
            f"tied weights need one shape: the embedding has {tuple(weight.shape)}, the head {tuple(head.weight.shape)}"
        )
    head.weight = weight
