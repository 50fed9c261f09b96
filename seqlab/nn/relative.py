"""Logits of integers relative to anchors: what to add to each, the same whatever the anchor is."""

import math

import torch
from torch import Tensor, nn

# B batch, T time, A anchors, K frequencies, V values

MOST_FREQUENCIES = 64


def frequencies(size: int) -> Tensor:
    """Up to 64 frequencies from 1 to size / 2, at equal distances.

    >>> frequencies(7).tolist(), frequencies(256)[:4].tolist(), frequencies(256)[-1].item()
    ([1, 2, 3], [1, 3, 5, 7], 128)
    """
    fastest = max(1, size // 2)
    return torch.linspace(1, fastest, min(MOST_FREQUENCIES, fastest)).round().long()


class RelativeHead(nn.Module):
    """logit(y) = sum over anchors a and frequencies k of s_k Re(w_ak exp(i theta_k A_a) exp(-i theta_k y)).

    theta_k = 2 pi k / size. The complex w_ak are the coefficients that a network gives at each step; s_k is a learned
    scale. Each term depends on y - A_a alone: w_a is the Fourier series of a function of what is to be added to anchor
    a, modulo size. So "the last term plus three" is one output, not one for each last term.

    Args:
        size: number of values y, 0 .. size - 1.
        num_anchors: number of anchors.
    """

    def __init__(self, size: int, num_anchors: int):
        super().__init__()
        angles = torch.arange(size).unsqueeze(1) * frequencies(size) % size * (2 * math.pi / size)
        self.cos_VK: Tensor
        self.sin_VK: Tensor
        self.register_buffer("cos_VK", angles.cos(), persistent=False)
        self.register_buffer("sin_VK", angles.sin(), persistent=False)
        number = angles.shape[1]
        self.scale_K = nn.Parameter(torch.full((number,), number**-0.5))
        self.shape = (num_anchors, 2, number)
        self.num_coefficients = math.prod(self.shape)

    def forward(self, coefficients: Tensor, anchors_BTA: Tensor) -> Tensor:
        """(B, T, num_coefficients) real and imaginary parts of w, and integers -> logits (B, T, V), of one dtype."""
        real, imaginary = coefficients.unflatten(-1, self.shape).unbind(-2)
        cos_VK, sin_VK, scale = (part.to(coefficients.dtype) for part in (self.cos_VK, self.sin_VK, self.scale_K))
        places = anchors_BTA % len(cos_VK)
        cos, sin = cos_VK[places], sin_VK[places]
        # the sum over anchors of w exp(i theta A)
        real_BTK = (real * cos - imaginary * sin).sum(2)
        imaginary_BTK = (real * sin + imaginary * cos).sum(2)
        return (real_BTK * scale) @ cos_VK.T + (imaginary_BTK * scale) @ sin_VK.T
