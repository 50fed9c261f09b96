"""Input layers: what a model reads, as vectors of width d_model."""

import math

from torch import Tensor, nn

from seqlab.spec import Spec, Tokens


class ScaledEmbedding(nn.Embedding):
    """Token embedding multiplied by sqrt(d_model) (Vaswani et al. 2017, section 3.4).

    Rows start as N(0, 1/d_model), so that what leaves has unit variance and does not drown the positions.
    """

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * math.sqrt(self.embedding_dim)


def input_layer(spec: Spec, d_model: int, *, scaled: bool = False) -> nn.Module:
    """The layer from `spec.input` to (batch, time, d_model): an embedding for tokens, a linear map for vectors.

    Args:
        scaled: multiply token embeddings by sqrt(d_model), as a Transformer does.
    """
    if isinstance(spec.input, Tokens):
        return (ScaledEmbedding if scaled else nn.Embedding)(spec.input.size, d_model)
    return nn.Linear(spec.input.width, d_model)
