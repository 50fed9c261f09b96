"""The recurrence of Mamba 2 (Dao & Gu 2024, "Transformers are SSMs", section 6), chunk by chunk.

    h_t = a_t h_{t-1} + x_t B_t^T        y_t = h_t C_t

for each head, with one decay a_t for the whole matrix h. tests/reference/ssd.py is the loop as it is written here.
"""

import torch
from torch import Tensor

from seqlab.nn.chunks import from_chunks, in_chunks

# B batch, T time, H heads, P width of a head, N states, M chunks of S steps


def decayed_sums(
    x_BTHP: Tensor, decay_BTH: Tensor, b_BTN: Tensor, c_BTN: Tensor, state_BHPN: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the outputs y (B, T, H, P) and the last state (B, H, P, N).

    In a chunk, y = (L * (C B^T)) x with L_ts = a_(s+1) ... a_t (equation 16). These products are multiplied out along
    time. In logarithms, as published, a decay could be neither negative nor 0.

    Args:
        x_BTHP: inputs, of any floating dtype.
        decay_BTH: decays, -1 to 1.
        b_BTN, c_BTN: input and output projections, the same for all heads.
        state_BHPN: the state before the first step, in float32 or float64: everything is computed in this dtype.
    """
    with torch.autocast(state_BHPN.device.type, enabled=False):
        dtype = state_BHPN.dtype
        # steps that are added at the end have a decay of 1 and no input: they leave the state as it is
        x, less = in_chunks(x_BTHP.to(dtype)), in_chunks((decay_BTH.to(dtype) - 1).unsqueeze(-1))
        b, c = (in_chunks(tensor.to(dtype).unsqueeze(2)) for tensor in (b_BTN, c_BTN))
        decay_MBHS1 = less + 1
        # column s holds a_t below its diagonal, 1 elsewhere: its running product is L_ts
        steps = decay_MBHS1.expand(*decay_MBHS1.shape[:-1], x.shape[-2])
        below = torch.ones(steps.shape[-2:], dtype=torch.bool, device=steps.device).tril(-1)
        products = torch.where(below, steps, 1).cumprod(-2)
        inside = ((c @ b.mT) * products).tril() @ x
        since_start, until_end = decay_MBHS1.cumprod(-2), products[..., -1:, :].mT
        entering = (until_end * x).mT @ b
        outputs, state = [], state_BHPN
        for index in range(len(x)):
            outputs.append(inside[index] + since_start[index] * (c[index] @ state.mT))
            state = since_start[index, :, :, -1:] * state + entering[index]
    return from_chunks(torch.stack(outputs), x_BTHP.shape[1]), state
