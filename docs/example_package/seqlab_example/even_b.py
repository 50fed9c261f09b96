"""A language: a, then any string with an even number of b's."""

import torch
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import PAD, Even, StartsWith

A, B = 3, 4  # ids of the symbols; 0 to 2 are SOS, EOS and PAD


class EvenB(Grammar):
    """All strings of one length are equally likely."""

    name, language_class = "even_b", "regular"
    symbols = "ab"
    rule_1, rule_1_description = Even(B), "number of b's is even"
    rule_2, rule_2_description = StartsWith(A), "starts with a"
    rule_2_completion = StartsWith(A)

    def num_uniforms(self, max_length: int) -> int:
        """One a position, though the first symbol and the last are given by the rules."""
        return max_length

    def draw(self, lengths: Tensor, uniforms: Tensor, longest: int) -> Tensor:
        """A fair coin for each symbol between the first and the last."""
        position = torch.arange(longest, device=lengths.device)
        last = lengths[:, None] - 1
        is_b = (uniforms[:, :longest] < 0.5) & (position > 0) & (position < last)
        is_b |= (position == last) & (is_b.sum(1, keepdim=True) % 2 == 1)
        return torch.where(is_b, B, A).masked_fill_(position > last, PAD)
