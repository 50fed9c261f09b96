"""The selective scan the plain way: the recurrence as it is written down, differentiated by autograd."""

import torch
from torch import Tensor


def selective_scan(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor, signed: bool = False
) -> tuple[Tensor, Tensor]:
    """h_t = exp(delta_t A) h_(t-1) + delta_t B_t x_t and y_t = C_t . h_t, for each channel.

    With `signed`, 2 exp(delta_t A) - 1 stands in the place of exp(delta_t A).

    x and delta (batch, time, channels), a (channels, states), b and c (batch, time, states), h (batch, channels,
    states); returns y like x, and the last h.
    """
    outputs = []
    for x_t, delta_t, b_t, c_t in zip(x.unbind(1), delta.unbind(1), b.unbind(1), c.unbind(1), strict=True):
        decay = torch.exp(delta_t[:, :, None] * a)
        decay = 2 * decay - 1 if signed else decay
        h = decay * h + (delta_t * x_t)[:, :, None] * b_t[:, None, :]
        outputs.append((h * c_t[:, None, :]).sum(-1))
    return torch.stack(outputs, 1), h
