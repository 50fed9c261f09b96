"""Which strings of a language are for training, which for validation and which for test: a part of every length."""

import torch
from torch import Tensor

from rule_extrapolation.grammars import Grammar
from rule_extrapolation.rules import PAD
from seqlab.randomness import row_hash, uniforms

TRAIN, VAL, TEST = range(3)
HELD_OUT = 0.1  # the proportion of the strings of a length that are for test; as many are for validation
_FEW = 256  # strings of a length; of no more than that, the number in each part is exact
_DRAWS = (512, 4096)  # the second finds each of _FEW strings but with probability (1 - 1/256)^4096 = 1e-7
_HASHES = 2**63


class Splits:
    """The split of each string, within the strings of its length.

    Of the strings of a length, a tenth is for test, a tenth for validation (at least one, if there are three), and
    the others are for training: those with the smallest hashes are held out. So all three splits have the same
    lengths, but for lengths of one or two strings, which are for training alone. The split of a string depends on
    its language alone: on no seed, and not on the maximum length.

    Args:
        grammar: the language.
        max_length: the maximum number of symbols in a string.

    >>> from rule_extrapolation.letters import BbaN
    >>> Splits(BbaN(), 8).lengths[TEST].tolist()  # of five symbols: bbbbb, bbbaa, baaaa
    [5, 6, 7, 8]
    """

    def __init__(self, grammar: Grammar, max_length: int):
        every = grammar.lengths(max_length)
        self.bounds = torch.zeros(max_length + 1, 2, dtype=torch.int64)  # of the hashes of test, and of both held out
        for length in every.tolist():
            self.bounds[length] = torch.tensor(held_out_below(grammar, length))
        held_out = every[self.bounds[every, 0] > 0]
        self.lengths = (every, held_out, held_out)

    def of(self, strings: Tensor) -> Tensor:
        """The split of each string (batch, time), padded with PAD: TRAIN, VAL or TEST, (batch,) int64."""
        content = strings != PAD
        hashes = row_hash(strings * content)
        return (hashes[:, None] < self.bounds[content.sum(1)]).sum(1)


def held_out_below(grammar: Grammar, length: int) -> tuple[int, int]:
    """The hash below which a string of a length is for test, and the one below which it is held out at all."""
    hashes = torch.empty(0)
    for number in _DRAWS:
        numbers = uniforms(0, f"{grammar.name} splits", 0, number, grammar.num_uniforms(length))
        hashes = row_hash(grammar.batch(torch.full((number,), length), numbers)).unique()  # sorted
        if len(hashes) > _FEW:
            return int(HELD_OUT * _HASHES), int(2 * HELD_OUT * _HASHES)
    if len(hashes) < 3:
        return 0, 0
    part = max(1, round(HELD_OUT * len(hashes)))
    return int(hashes[part]), int(hashes[2 * part])
