"""The delta rule (Schlag et al. 2021, "Linear Transformers are secretly fast weight programmers"), chunk by chunk.

    S_t = (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T        o_t = S_t^T q_t

A memory S maps keys to values. Each step reads the value that S has for its key, and moves it towards the new one. With
|k| = 1, the transition has the eigenvalue 1 - beta: in 0 .. 1 for beta in 0 .. 1; in -1 .. 1 for beta in 0 .. 2, so
that a state can change its sign (Grazzi et al. 2025). tests/reference/delta.py is the loop as it is written here.
"""

import torch
from torch import Tensor
from torch.linalg import solve_triangular

from seqlab.nn.chunks import from_chunks, in_chunks

# B batch, T time, H heads, D width of keys, E width of values, M chunks of S steps


def delta_rule(
    queries_BTHD: Tensor, keys_BTHD: Tensor, values_BTHE: Tensor, beta_BTH: Tensor, memory_BHDE: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the outputs (B, T, H, E) and the last memory (B, H, D, E).

    In a chunk, the new values u = beta (v - S^T k) of all steps solve one triangular system (Yang et al. 2024,
    "Parallelizing linear transformers with the delta rule over sequence length", section 3.2, the WY form):
    (I + A) U = diag(beta) (V - K S) with A = tril(diag(beta) K K^T, -1). What does not depend on the memory is computed
    for all chunks at once.

    Args:
        queries_BTHD, keys_BTHD: of any floating dtype; keys of length 1.
        values_BTHE: values.
        beta_BTH: how far each step moves the value, 0 to 2.
        memory_BHDE: the memory before the first step, in float32 or float64: everything is computed in this dtype.
    """
    with torch.autocast(memory_BHDE.device.type, enabled=False):
        # steps that are added at the end have zero keys: they leave the memory as it is
        q, k, v, beta = (
            in_chunks(tensor.to(memory_BHDE.dtype))
            for tensor in (queries_BTHD, keys_BTHD, values_BTHE, beta_BTH.unsqueeze(-1))
        )
        scaled, identity = beta * k, torch.eye(q.shape[-2], device=k.device, dtype=k.dtype)
        system = (scaled @ k.mT).tril(-1) + identity
        w, u = solve_triangular(system, torch.cat([scaled, beta * v], -1), upper=False, unitriangular=True).split(
            [k.shape[-1], v.shape[-1]], -1
        )
        scores = (q @ k.mT).tril()
        outputs, memory = [], memory_BHDE
        for index in range(len(k)):
            new = u[index] - w[index] @ memory
            outputs.append(q[index] @ memory + scores[index] @ new)
            memory = memory + k[index].mT @ new
    return from_chunks(torch.stack(outputs), queries_BTHD.shape[1]), memory
