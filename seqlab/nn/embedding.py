"""Input layers: map a model's inputs to vectors of width d_model."""

import math

import torch
from torch import Tensor, nn

from seqlab.nn.numbers import NumberFeatures
from seqlab.spec import Spec, Tokens


class ScaledEmbedding(nn.Embedding):
    """Token embedding multiplied by sqrt(d_model) (Vaswani et al. 2017, section 3.4).

    Rows are initialised from N(0, 1/d_model), so that outputs have unit variance and do not dominate the positions.
    """

    def reset_parameters(self) -> None:
        """Draw rows from N(0, 1/d_model)."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * math.sqrt(self.embedding_dim)


class FourierFeatures(nn.Module):
    """Embeds integers x in 0 .. size-1 by sin and cos of 2 pi k x / size, k = 1 .. num_waves, and a linear map.

    Adding integers adds angles, so a rule such as x + d is the same rotation for all x. The linear map is initialised
    so that outputs have unit variance and are not dominated by the positions.
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
    """Embeds integers x in 0 .. size-1 by the number x / (size - 1) and a linear map to d_model."""

    def __init__(self, size: int, d_model: int):
        super().__init__()
        self.size = size
        self.linear = nn.Linear(1, d_model)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear((ids / (self.size - 1)).unsqueeze(-1).to(self.linear.weight.dtype))


def input_layer(spec: Spec, d_model: int, *, scaled: bool = False) -> nn.Module:
    """Build the layer from `spec.input` to (batch, time, d_model): `Tokens.embedding`, or a linear map for vectors.

    Args:
        spec: input and output format.
        d_model: width of the outputs.
        scaled: multiply learned token embeddings by sqrt(d_model), as in a Transformer.

    Raises:
        ValueError: the embedding is `pair`, which needs a model with positions.
    """
    if not isinstance(spec.input, Tokens):
        return nn.Linear(spec.input.width, d_model)
    if spec.input.embedding == "pair":
        raise ValueError(
            "embedding=pair needs a model with positions (the Transformer); others: learned, fourier, number, scalar"
        )
    if spec.input.embedding == "fourier":
        return FourierFeatures(spec.input.size, d_model, spec.input.num_waves)
    if spec.input.embedding == "number":
        return NumberFeatures(0, spec.input.size - 1, spec.input.size, d_model)
    if spec.input.embedding == "scalar":
        return ScalarInput(spec.input.size, d_model)
    return (ScaledEmbedding if scaled else nn.Embedding)(spec.input.size, d_model)


def learned_embedding(layer: nn.Module) -> nn.Embedding:
    """Return the layer if it is a learned embedding.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(layer, nn.Embedding):
        raise ValueError("tied weights and embedding_range need tokens with learned embeddings (embedding=learned)")
    return layer


def tie(head: nn.Linear, embedding: nn.Module) -> None:
    """Make a head share the weight matrix of an embedding. The head keeps its own bias.

    Raises:
        ValueError: the layer is not a learned embedding, or has another shape.
    """
    weight = learned_embedding(embedding).weight
    if weight.shape != head.weight.shape:
        raise ValueError(
            f"tied weights need one shape: the embedding has {tuple(weight.shape)}, the head {tuple(head.weight.shape)}"
        )
    head.weight = weight
