"""Losses for integers that depend on the distance between prediction and target."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

# N predictions, V values


def weighted_cross_entropy(
    logits_NV: Tensor, target_N: Tensor, *, alpha: float, weighting: Literal["linear", "sqrt", "quadratic"]
) -> Tensor:
    """Mean cross-entropy, each prediction weighted by 1 + alpha d, d = |argmax - target| (or sqrt d, or d squared).

    The argmax has no gradient: d only weights the sample and gives no direction for moving probability.
    """
    distance = (logits_NV.argmax(1) - target_N).abs().to(logits_NV.dtype)
    if weighting == "sqrt":
        distance = distance.sqrt()
    elif weighting == "quadratic":
        distance = distance.square()
    return ((1 + alpha * distance) * cross_entropy(logits_NV, target_N, reduction="none")).mean()


def expected_distance(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    """Mean of E|k - target| under softmax(logits): a differentiable version of the argmax distance."""
    values = torch.arange(logits_NV.shape[1], device=logits_NV.device)
    distance_NV = (values - target_N.unsqueeze(1)).abs().to(logits_NV.dtype)
    return (logits_NV.softmax(1) * distance_NV).sum(1).mean()
