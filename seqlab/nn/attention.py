"""Causal multi-head self-attention, over whole sequences and over a preallocated key/value cache."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from seqlab.nn.dropout import Dropout
from seqlab.nn.native import transformer as native

# B batch, T time (new steps), S cache capacity, H heads, D head width, C channels = H D, N tokens of all rows in a row


class CausalSelfAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2) in which step t attends to steps <= t.

    Dropout on the attention weights and the initialisation are those of nn.MultiheadAttention.
    """

    def __init__(self, *, d_model: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = Dropout(dropout)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def _heads(self, x_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, H, T, D)."""
        batch, time, _ = x_BTC.shape
        q, k, v = self.qkv(x_BTC).view(batch, time, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C). Each step attends to itself and the previous steps."""
        q_BHTD, k_BHTD, v_BHTD = self._heads(x_BTC)
        if self.training and self.dropout.p and x_BTC.is_cpu:
            # torch has no fused kernel with dropout there, and draws it slowly
            time = x_BTC.shape[1]
            future_TT = torch.ones(time, time, dtype=torch.bool).triu(1)
            scores_BHTT = (q_BHTD * q_BHTD.shape[-1] ** -0.5) @ k_BHTD.mT
            weights_BHTT = scores_BHTT.masked_fill_(future_TT, -torch.inf).softmax(-1)
            y_BHTD = self.dropout(weights_BHTT) @ v_BHTD
        else:
            dropout = self.dropout.p if self.training else 0.0
            y_BHTD = scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, dropout_p=dropout, is_causal=True)
        return self.out(y_BHTD.transpose(1, 2).flatten(2))

    def packed(self, x_NC: Tensor, starts: Tensor) -> Tensor:
        """`forward` with the native kernels on packed rows, without the bias of the last map, (N, C)."""
        y_NC = native.causal_attention(self.qkv(x_NC), starts, self.num_heads, self.dropout)
        return linear(y_NC, self.out.weight)

    def extend(
        self, x_BTC: Tensor, keys_BHSD: Tensor, values_BHSD: Tensor, length: int, use_native: bool = False
    ) -> Tensor:
        """Attend from T new steps to `length` cached steps and to themselves. Writes new keys and values in place.

        For decoding only: no dropout. `use_native`: use the native kernel for a single step, which has no gradient.
        """
        time = x_BTC.shape[1]
        if use_native and time == 1:
            return self.out(native.attention_step(self.qkv(x_BTC)[:, 0], keys_BHSD, values_BHSD, length)).unsqueeze(1)
        q_BHTD, k_BHTD, v_BHTD = self._heads(x_BTC)
        stop = length + time
        keys_BHSD[:, :, length:stop] = k_BHTD
        values_BHSD[:, :, length:stop] = v_BHTD
        mask = None if time == 1 else torch.ones(time, stop, dtype=torch.bool, device=x_BTC.device).tril(length)
        y_BHTD = scaled_dot_product_attention(q_BHTD, keys_BHSD[:, :, :stop], values_BHSD[:, :, :stop], attn_mask=mask)
        return self.out(y_BHTD.transpose(1, 2).flatten(2))
