"""Dropout with fast random bits on a CPU."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Dropout):
    """Zeroes each element with probability p and scales the rest by 1 / (1 - p) (Srivastava et al. 2014).

    On a CPU, torch draws one double per element in a single thread. This takes half of a small Transformer's training
    step (benchmarks/training.py). Here each element uses 16 bits: p is rounded to a multiple of 1/65536, and the scale
    is exact for the rounded p. Other devices use torch's fused kernel.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        if input.device.type != "cpu":
            return functional.dropout(input, self.p)
        return input * _keep_mask(input.shape, self.p, input.dtype)


def _keep_mask(shape: torch.Size, p: float, dtype: torch.dtype) -> Tensor:
    """A random mask: 0 with probability p, else 1 / (1 - p). Uses torch's global generator."""
    dropped = round(p * 65536)
    if dropped == 65536:
        return torch.zeros(shape, dtype=dtype)
    num_elements = math.prod(shape)
    words = torch.empty((num_elements + 3) // 4, dtype=torch.int64).random_(-(2**63), None)  # 4 draws per word
    draws = words.view(torch.int16)[:num_elements].view(shape)  # uniform on -32768 .. 32767
    return (draws >= dropped - 32768).to(dtype).mul_(65536 / (65536 - dropped))
