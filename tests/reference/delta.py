"""The delta rule the plain way: one step after another, as it is written down, differentiated by autograd."""

import torch
from torch import Tensor


def delta_rule(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """S_t = S_(t-1) + beta_t k_t (v_t - S_(t-1)^T k_t)^T and o_t = S_t^T q_t, for each head.

    q and k (batch, time, heads, width), v (batch, time, heads, width of values), beta (batch, time, heads), memory
    (batch, heads, width, width of values); returns outputs like v, and the last memory.
    """
    outputs = []
    for q_t, k_t, v_t, beta_t in zip(q.unbind(1), k.unbind(1), v.unbind(1), beta.unbind(1), strict=True):
        error = v_t - torch.einsum("bhd,bhde->bhe", k_t, memory)
        memory = memory + torch.einsum("bh,bhd,bhe->bhde", beta_t, k_t, error)
        outputs.append(torch.einsum("bhd,bhde->bhe", q_t, memory))
    return torch.stack(outputs, 1), memory
