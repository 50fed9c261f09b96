"""A pointer to candidates: their values are answers, mixed with those of ordinary logits (Vinyals et al. 2015)."""

import torch
from torch import Tensor

# B batch, T time, N candidates, V values

LEAST = 1e-30  # of a probability that is copied, so that its logarithm has a gradient


def weights(scores: Tensor, values: Tensor, known: Tensor, size: int) -> Tensor:
    """The weights of the candidates and, last, of the ordinary logits: softmax of scores, (B, T, N + 1).

    Args:
        scores: (B, T, N + 1).
        values, known: (B, T, N). A candidate that is not known or outside 0 .. size - 1 has weight 0.
        size: number of values.
    """
    possible = known & (values >= 0) & (values < size)
    chosen = torch.where(possible, scores[..., :-1], -torch.inf)
    return torch.cat([chosen, scores[..., -1:]], -1).softmax(-1)


def mixed(logits: Tensor, scores: Tensor, values: Tensor, known: Tensor) -> Tensor:
    """log p(y) = log(w_0 softmax(logits)(y) + sum of w_n over candidates n with value y), (B, T, V).

    A mixture of a pointer and a distribution over a vocabulary, as in the pointer sentinel of Merity et al. 2017
    (equation 5). log p is a valid set of logits: its softmax is p.

    Args:
        logits: (B, T, V), the ordinary ones.
        scores, values, known: of the candidates, as for `weights`; w_0 is the weight of the ordinary logits.
    """
    size = logits.shape[-1]
    shares = weights(scores, values, known, size)
    copied = torch.zeros_like(logits).scatter_add(-1, values.clamp(0, size - 1), shares[..., :-1])
    computed = logits.log_softmax(-1) + shares[..., -1:].clamp_min(LEAST).log()
    return torch.logaddexp(computed, copied.clamp_min(LEAST).log())
