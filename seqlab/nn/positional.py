"""Position encodings along time: added to the inputs, or part of the attention (rotary, ALiBi)."""

import math

import torch
from torch import Tensor, nn

# B batch, T time, C channels, H heads, D head width, S keys

STRIDE = 4  # of positions that are random in training, in evaluation


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


class NoPositions(nn.Module):
    """Leaves x as it is. The causal mask alone then says what came first (Haviv et al. 2022)."""

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        """x."""
        return x_BTC

    def check(self, steps: int) -> None:
        """Any length will do."""


class LearnedPositions(nn.Module):
    """Adds a learned vector for each position (Radford et al. 2018), initially from N(0, 0.02^2).

    Raises:
        ValueError: a sequence is longer than `max_length`.
    """

    def __init__(self, d_model: int, max_length: int):
        super().__init__()
        self.table_TC = nn.Parameter(torch.empty(max_length, d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from N(0, 0.02^2)."""
        nn.init.normal_(self.table_TC, std=0.02)

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        """Add the vectors of positions start .. start + T - 1 to x, (B, T, C)."""
        stop = start + x_BTC.shape[1]
        self.check(stop)
        return x_BTC + self.table_TC[start:stop].to(x_BTC.dtype)

    def check(self, steps: int) -> None:
        """Raise ValueError if a sequence of this length exceeds the table."""
        if steps > len(self.table_TC):
            raise ValueError(f"a sequence of {steps} steps: positions=learned has {len(self.table_TC)}")


class RandomPositions(SinusoidalPositions):
    """Sinusoidal encodings of randomised positions (Ruoss et al. 2023, section 3).

    In training, each batch gets positions of its own: T of 0 .. max_positions - 1, drawn without replacement from
    torch's global generator, in order. So all positions that a long sequence needs are seen in short ones. In
    evaluation, where the paper draws again, step t has position 4 t: the spacing of the paper's longest test strings
    (500 of 2,048 positions). It depends on t alone, so that steps equal the whole.

    Raises:
        ValueError: a sequence is longer than `max_positions`, in evaluation than a fourth of it.
    """

    def forward(self, x_BTC: Tensor, start: int = 0) -> Tensor:
        """Add the encodings of T positions to x, (B, T, C); `start`, above 0, is for evaluation."""
        steps = x_BTC.shape[1]
        self.check(start + steps)
        if self.training and not start:
            positions = torch.randperm(len(self.table_TC))[:steps].sort().values
        else:
            positions = STRIDE * torch.arange(start, start + steps)
        return x_BTC + self.table_TC[positions.to(self.table_TC.device)].to(x_BTC.dtype)

    def check(self, steps: int) -> None:
        """Raise ValueError if a sequence of this length needs more positions than there are."""
        most = len(self.table_TC) if self.training else len(self.table_TC) // STRIDE
        if steps > most:
            raise ValueError(f"a sequence of {steps} steps: positions=random has {most}; set model.max_positions")


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


def rotated(x: Tensor, positions_T: Tensor) -> Tensor:
    """Turn pairs of channels by angles in proportion to the position (Su et al. 2021, equation 34).

    Channels 2i and 2i + 1 of a head are turned by position / 10000^(2i/D). A product of a query and a key, both turned,
    depends on the distance of their positions alone.

    Args:
        x: queries and keys (..., T, parts, H, D), D even.
        positions_T: (T,) int64.
    """
    width, dtype = x.shape[-1], torch.promote_types(x.dtype, torch.float32)
    rate = torch.exp(torch.arange(0, width, 2, device=x.device, dtype=dtype) * (-math.log(10000.0) / width))
    angles = (positions_T.to(x.device, dtype).unsqueeze(1) * rate)[:, None, None]
    cos, sin = angles.cos(), angles.sin()
    even, odd = x[..., 0::2].to(dtype), x[..., 1::2].to(dtype)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(x.dtype)


def alibi_slopes(num_heads: int) -> Tensor:
    """How fast the attention of each head falls with the distance: 2^(-8 h / H), h = 1 .. H (Press et al. 2022).

    >>> alibi_slopes(2).tolist()
    [0.0625, 0.00390625]
    """
    return torch.exp2(-8 * torch.arange(1, num_heads + 1) / num_heads)


def alibi(slopes_H: Tensor, start: int, time: int) -> Tensor:
    """What is added to scores (H, T, S) of steps start .. start + time - 1: -slope times distance, -inf for the future.

    The S = start + time keys are those of all steps.
    """
    stop = start + time
    steps = torch.arange(stop, device=slopes_H.device)
    distance_TS = steps[start:, None] - steps
    return (-slopes_H[:, None, None] * distance_TS).masked_fill(distance_TS < 0, -torch.inf)
