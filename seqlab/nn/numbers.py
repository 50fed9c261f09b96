"""Integers read as numbers: a fixed table of what is known about each, and differences of the terms of a sequence."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, one_hot

# B batch, T time, S terms with those before the first step, K combinations, L lags, C channels

MODULI = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16)
MISSING = -1  # stands for a term before the first one
DIFFERENCES = (  # coefficients of x[t], x[t-1], ... x[t-4]
    (1, -1, 0, 0, 0),
    (1, -2, 1, 0, 0),
    (1, 0, -1, 0, 0),
    (1, 0, 0, -1, 0),
    (1, 0, 0, 0, -1),
    (1, -2, 0, 0, 0),
    (1, -1, -1, 0, 0),
)
MOST_LAGS = len(DIFFERENCES[0]) - 1


def waves(size: int) -> Tensor:
    """Frequencies from slow to fast: 2^j and 3 x 2^j up to size / 2, at least 1.

    >>> waves(24).tolist()
    [1, 2, 3, 4, 6, 8, 12]
    """
    powers = [2**power for power in range(size.bit_length())]
    return torch.tensor([k for k in sorted({*powers, *(3 * power for power in powers)}) if 2 * k <= max(size, 2)])


def number_table(low: int, high: int, size: int) -> Tensor:
    """What is known about each integer v in low .. high, (high - low + 1, features) float32.

    The columns are sin and cos of 2 pi k v / size for the frequencies of `waves`; v modulo 2 .. 10, 12 and 16, one-hot;
    the bits of v in two's complement; v / size, tanh(v / 16), sign v, and sign v log(1 + |v|) / log(1 + size).
    """
    values = torch.arange(low, high + 1)
    angles = values.unsqueeze(1) * waves(size) % size * (2 * math.pi / size)
    residues = [one_hot(values % modulus, modulus) for modulus in MODULI]
    bits = values.unsqueeze(1) >> torch.arange((high - low).bit_length()) & 1
    v = values.unsqueeze(1).float()
    logarithm = v.sign() * v.abs().log1p() / math.log1p(size)
    return torch.cat([angles.sin(), angles.cos(), *residues, bits, v / size, (v / 16).tanh(), v.sign(), logarithm], 1)


class NumberFeatures(nn.Module):
    """Embeds integers v in low .. high by a linear map of `number_table` and a learned vector: W f(v) + e(v).

    What is the same about different integers (parity, size, last bit) is the same in f, and e adds what is not. One
    more id, high + 1, has a learned vector alone: it stands for a number that is not there.

    Args:
        low, high: the range of the integers.
        size: number of values of a term, the period of the slowest wave.
        d_model: width of the output.
        std: standard deviation of W f(v) at the start, about; that of e is half of it.
    """

    def __init__(self, low: int, high: int, size: int, d_model: int, *, std: float = 1.0):
        super().__init__()
        table = number_table(low, high, size)
        self.low = low
        self.table: Tensor
        self.register_buffer("table", torch.cat([table, torch.zeros(1, table.shape[1])]), persistent=False)
        self.linear = nn.Linear(table.shape[1], d_model, bias=False)
        self.learned = nn.Embedding(len(self.table), d_model)
        squares = len(waves(size)) + len(MODULI) + (high - low).bit_length() / 2 + 1  # in a row of the table, about
        nn.init.normal_(self.linear.weight, std=std * squares**-0.5)
        nn.init.normal_(self.learned.weight, std=std / 2)

    def forward(self, values: Tensor) -> Tensor:
        """Integers of any shape -> that shape with d_model channels. Of many, each row of the table is mapped once."""
        rows = values - self.low
        if rows.numel() < len(self.table):
            return self.linear(self.table[rows]) + self.learned(rows)
        return embedding(rows, self.linear(self.table) + self.learned.weight)


def combinations(terms_BS: Tensor, coefficients_KL: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of terms at each place, c[k, 0] x[t] + c[k, 1] x[t-1] + ..., and whether all terms of a sum are there.

    Args:
        terms_BS: integers from 0 on, MISSING before the first; MISSING counts as 0 in a sum.
        coefficients_KL: int64.

    Returns:
        Values and known, both (B, S - L + 1, K): the first place is that of term L - 1.
    """
    windows = terms_BS.unfold(1, coefficients_KL.shape[1], 1).flip(2).unsqueeze(2)
    values = (windows.clamp(min=0) * coefficients_KL).sum(3)
    missing = (windows == MISSING) & (coefficients_KL != 0)
    return values, ~missing.any(3)


class Differences(nn.Module):
    """Embeds seven differences at each term, each as a number, and adds them up: sum over k of W_k f(d_k) + e_k(d_k).

    d = x[t] - x[t-1], the second difference, x[t] - x[t-2], x[t] - x[t-3], x[t] - x[t-4], x[t] - 2 x[t-1] and
    x[t] - x[t-1] - x[t-2] (`DIFFERENCES`). A rule that adds, repeats or doubles has a constant among them.

    Args:
        size: terms are 0 .. size - 1.
        d_model: width of the output.
    """

    def __init__(self, size: int, d_model: int):
        super().__init__()
        self.coefficients_KL: Tensor
        self.register_buffer("coefficients_KL", torch.tensor(DIFFERENCES), persistent=False)
        ranges = [tuple((size - 1) * sum(c for c in row if c * s > 0) for s in (-1, 1)) for row in DIFFERENCES]
        std = len(DIFFERENCES) ** -0.5
        self.parts = nn.ModuleList(NumberFeatures(low, high, size, d_model, std=std) for low, high in ranges)
        self.absent = [high + 1 for _, high in ranges]

    def forward(self, terms_BS: Tensor) -> Tensor:
        """(B, MOST_LAGS + T) terms, of which the first MOST_LAGS were read before, -> (B, T, C)."""
        values, known = combinations(terms_BS, self.coefficients_KL)
        return sum(
            (
                part(torch.where(known[..., index], values[..., index], self.absent[index]))
                for index, part in enumerate(self.parts)
            ),
            start=torch.zeros((), device=terms_BS.device),
        )
