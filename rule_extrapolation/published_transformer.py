"""The Transformer of the public code, which added its positions along the batch axis."""

from torch import Tensor

from seqlab.models.transformer import Positions, Transformer
from seqlab.nn.positional import SinusoidalPositions

# B batch, T time, C channels


class PositionsAlongBatch(SinusoidalPositions):
    """Adds the encoding of its place in the BATCH to a row, the same at every step: the published fault.

    The public code handed (batch, time) to a table that was made for (time, batch). So only the causal mask tells
    where a step is, and what a row gets depends on how many rows are above it.

    Raises:
        ValueError: a batch has more rows than the table.
    """

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        """Add the encoding of row b to all steps of row b of x, (B, T, C); `start` has no effect."""
        rows = x_BTC.shape[0]
        self.check(rows)
        return x_BTC + self.table_TC[:rows, None].to(x_BTC.dtype)


class BatchPositionsTransformer(Transformer):
    """`seqlab.models.transformer.Transformer` with `PositionsAlongBatch`, for reproduction of published runs only.

    Rows of a batch are not independent of their order, so it breaks the contract of a model on purpose.
    """

    reads_parts = False  # parts of a batch would have other positions

    def added_positions(self, positions: Positions, d_model: int, max_positions: int) -> PositionsAlongBatch:
        """The faulty ones, whatever `positions`."""
        return PositionsAlongBatch(d_model, max_positions)
