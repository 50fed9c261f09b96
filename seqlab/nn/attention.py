"""Causal multi-head self-attention, over whole sequences and over a preallocated key/value cache."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from seqlab.nn.dropout import Dropout
from seqlab.nn.native import transformer as native
from seqlab.nn.native.product import linear
from seqlab.nn.positional import alibi, alibi_slopes, rotated

# B batch, T time (new steps), S cache capacity, H heads, D head width, C channels = H D, N tokens of all rows in a row


class CausalSelfAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2) in which step t attends to steps <= t.

    Dropout on the attention weights and the initialisation are those of nn.MultiheadAttention.

    Args:
        d_model: C.
        num_heads: H, which divides C.
        dropout: on the attention weights.
        relative: positions in the attention: `rotary` (`rotated`; needs an even head width), `alibi` (`alibi`), or
            none.
    """

    def __init__(
        self, *, d_model: int, num_heads: int, dropout: float, relative: Literal["rotary", "alibi"] | None = None
    ):
        super().__init__()
        self.num_heads = num_heads
        self.is_rotary = relative == "rotary"
        self.slopes_H: Tensor | None
        self.register_buffer("slopes_H", alibi_slopes(num_heads) if relative == "alibi" else None, persistent=False)
        self.dropout = Dropout(dropout)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def _projected(self, qkv: Tensor, positions_T: Tensor | None) -> Tensor:
        """Queries, keys and values apart, for steps at these positions (None: not rotary): (..., T, 3, H, D)."""
        qkv = qkv.unflatten(-1, (3, self.num_heads, -1))
        if positions_T is None:
            return qkv
        return torch.cat([rotated(qkv[..., :2, :, :], positions_T), qkv[..., 2:, :, :]], -3)

    def _heads(self, x_BTC: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of steps start .. start + T - 1, each (B, H, T, D)."""
        positions_T = torch.arange(start, start + x_BTC.shape[1], device=x_BTC.device) if self.is_rotary else None
        q, k, v = self._projected(self.qkv(x_BTC), positions_T).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C). Each step attends to itself and the previous steps."""
        q_BHTD, k_BHTD, v_BHTD = self._heads(x_BTC)
        if self.training and self.dropout.p and x_BTC.is_cpu:
            # torch has no fused kernel with dropout there, and draws it slowly
            time = x_BTC.shape[1]
            scores_BHTT = (q_BHTD * q_BHTD.shape[-1] ** -0.5) @ k_BHTD.mT
            if self.slopes_H is None:
                future_TT = torch.ones(time, time, dtype=torch.bool).triu(1)
                scores_BHTT = scores_BHTT.masked_fill_(future_TT, -torch.inf)
            else:
                scores_BHTT = scores_BHTT + alibi(self.slopes_H, 0, time).to(scores_BHTT.dtype)
            y_BHTD = self.dropout(scores_BHTT.softmax(-1)) @ v_BHTD
        elif self.slopes_H is not None:
            bias_HTT, dropout = alibi(self.slopes_H, 0, x_BTC.shape[1]), self.dropout.p if self.training else 0.0
            bias_HTT = bias_HTT.to(q_BHTD.dtype)
            y_BHTD = scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, attn_mask=bias_HTT, dropout_p=dropout)
        else:
            dropout = self.dropout.p if self.training else 0.0
            y_BHTD = scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, dropout_p=dropout, is_causal=True)
        return self.out(y_BHTD.transpose(1, 2).flatten(2))

    def weights(self, x_BTC: Tensor) -> Tensor:
        """How much each step attends to each, (B, T, C) -> (B, H, T, T) float32; rows sum to 1, without dropout."""
        q_BHTD, k_BHTD, _ = (part.float() for part in self._heads(x_BTC))
        scores_BHTT = (q_BHTD * q_BHTD.shape[-1] ** -0.5) @ k_BHTD.mT
        time = x_BTC.shape[1]
        if self.slopes_H is not None:
            return (scores_BHTT + alibi(self.slopes_H, 0, time)).softmax(-1)
        future_TT = torch.ones(time, time, dtype=torch.bool, device=x_BTC.device).triu(1)
        return scores_BHTT.masked_fill(future_TT, -torch.inf).softmax(-1)

    def packed(self, x_NC: Tensor, starts: Tensor) -> Tensor:
        """`forward` with the native kernels on packed rows, without the bias of the last map, (N, C)."""
        positions_N = None
        if self.is_rotary:
            positions_N = torch.arange(len(x_NC)) - starts[:-1].repeat_interleave(starts.diff())
        qkv = self._projected(linear(x_NC, self.qkv.weight, self.qkv.bias), positions_N).flatten(1)
        y_NC = native.causal_attention(qkv, starts, self.num_heads, self.dropout, self.slopes_H)
        return linear(y_NC, self.out.weight)

    def extend(
        self, x_BTC: Tensor, keys_BHSD: Tensor, values_BHSD: Tensor, length: int, use_native: bool = False
    ) -> Tensor:
        """Attend from T new steps to `length` cached steps and to themselves. Writes new keys and values in place.

        For decoding only: no dropout. `use_native`: use the native kernel for a single step, which has no gradient.
        """
        time = x_BTC.shape[1]
        if use_native and time == 1:
            qkv = self._projected(self.qkv(x_BTC), torch.tensor([length]) if self.is_rotary else None).flatten(1)
            return self.out(native.attention_step(qkv, keys_BHSD, values_BHSD, length, self.slopes_H)).unsqueeze(1)
        q_BHTD, k_BHTD, v_BHTD = self._heads(x_BTC, length)
        stop = length + time
        keys_BHSD[:, :, length:stop] = k_BHTD
        values_BHSD[:, :, length:stop] = v_BHTD
        if self.slopes_H is not None:
            mask = alibi(self.slopes_H, length, time).to(q_BHTD.dtype)
        else:
            mask = None if time == 1 else torch.ones(time, stop, dtype=torch.bool, device=x_BTC.device).tril(length)
        y_BHTD = scaled_dot_product_attention(q_BHTD, keys_BHSD[:, :, :stop], values_BHSD[:, :, :stop], attn_mask=mask)
        return self.out(y_BHTD.transpose(1, 2).flatten(2))
