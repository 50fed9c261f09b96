"""Position encodings along time."""

import math

import torch
from torch import Tensor, nn

# B batch, T time, C channels


class SinusoidalPositions(nn.Module):
    """Adds sin and cos of the position in TIME (Vaswani et al. 2017, section 3.5), the same for every row.

    PE[t, 2i] = sin(t / 10000^(2i/C)), PE[t, 2i+1] = cos(t / 10000^(2i/C)). The table is not a parameter and not saved.

    Raises:
        ValueError: a sequence is longer than `max_positions`.
    """

    def __init__(self, d_model: int, max_positions: int = 5000):
        super().__init__()
        time = torch.arange(max_positions).unsqueeze(1)
        rate = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        table_TC = torch.zeros(max_positions, d_model)
        table_TC[:, 0::2] = torch.sin(time * rate)
        table_TC[:, 1::2] = torch.cos(time * rate)[:, : d_model // 2]
        self.table_TC: Tensor
        self.register_buffer("table_TC", table_TC, persistent=False)

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        """Add the encodings of positions start .. start + T - 1 to x, (B, T, C)."""
        stop = start + x_BTC.shape[1]
        self.check(stop)
        return x_BTC + self.table_TC[start:stop].to(x_BTC.dtype)

    def check(self, steps: int) -> None:
        """Raise ValueError if a sequence of this length exceeds the table."""
        if steps > len(self.table_TC):
            raise ValueError(f"a sequence of {steps} steps: the position table has {len(self.table_TC)}")


class PairWithPosition(nn.Module):
    """Embeds integers 0 .. size-1 as two features without parameters: (x / (size - 1), position / (max_length - 1)).

    Raises:
        ValueError: d_model is not 2, or a sequence is longer than `max_length`.
    """

    def __init__(self, size: int, d_model: int, max_length: int):
        super().__init__()
        if d_model != 2:
            raise ValueError(f"embedding=pair has 2 features: model.d_model={d_model} must be 2")
        self.size = size
        self.max_length = max_length

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Map ids (batch, time) at positions start .. start + time - 1 to features (batch, time, 2)."""
        stop = start + ids.shape[1]
        self.check(stop)
        position = torch.arange(start, stop, device=ids.device) / (self.max_length - 1)
        return torch.stack([ids / (self.size - 1), position.expand(ids.shape)], dim=-1)

    def check(self, steps: int) -> None:
        """Raise ValueError if a sequence of this length exceeds `max_length`."""
        if steps > self.max_length:
            raise ValueError(f"a sequence of {steps} steps: embedding=pair has {self.max_length} positions")
