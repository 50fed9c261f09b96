"""A transformer encoder over the bits of N with one answer at the end."""

from typing import Annotated

import torch
from annotated_types import Ge, Interval, Le
from torch import Tensor, nn

from factorization.models.input_checks import input_width
from seqlab.spec import Spec


class BitsTransformer(nn.Module):
    """A bidirectional transformer encoder: steps of vectors (batch, time, width) -> logits (batch, outputs).

    A linear embedding plus learned positions, pre-norm encoder layers with full attention (Vaswani et al. 2017), the
    mean over steps, and a linear head.

    Args:
        spec: input and output types.
        d_model: width of the residual stream.
        num_layers, num_heads, ff_dim: depth, heads (must divide d_model), width of the feed-forward layer.
        dropout: dropout on attention weights, the feed-forward layer and both residual branches.

    Raises:
        ValueError: the Spec does not ask for one answer, or num_heads does not divide d_model.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 3,
        num_heads: Annotated[int, Ge(1)] = 4,
        ff_dim: Annotated[int, Ge(1)] = 256,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1,
    ):
        super().__init__()
        width = input_width("bits_transformer", spec)
        if d_model % num_heads:
            divisors = [number for number in range(1, d_model + 1) if d_model % number == 0]
            raise ValueError(f"num_heads={num_heads} does not divide d_model={d_model}; allowed: {divisors}")
        self.embedding = nn.Linear(width, d_model)
        self.positions = nn.Parameter(torch.randn(spec.max_length, d_model))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d_model, num_heads, ff_dim, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, spec.output.width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.embedding(x) + self.positions
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(self.norm(hidden.mean(1)))
