"""The recurrence of Mamba 2 the plain way: step by step as it is written down, differentiated by autograd."""

import torch
from torch import Tensor


def decayed_sums(x: Tensor, decay: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """h_t = a_t h_(t-1) + x_t B_t^T and y_t = h_t C_t, for each head.

    x (batch, time, heads, width), decay (batch, time, heads), b and c (batch, time, states), state (batch, heads,
    width, states); returns y like x, and the last state.
    """
    outputs = []
    for x_t, decay_t, b_t, c_t in zip(x.unbind(1), decay.unbind(1), b.unbind(1), c.unbind(1), strict=True):
        state = decay_t[:, :, None, None] * state + torch.einsum("bhp,bn->bhpn", x_t, b_t)
        outputs.append(torch.einsum("bhpn,bn->bhp", state, c_t))
    return torch.stack(outputs, 1), state
