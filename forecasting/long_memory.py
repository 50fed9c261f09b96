"""Two synthetic problems that need long memory, adding and copying, and the best results without memory."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.randomness import uniforms

NUM_SYMBOLS = 8  # of the copy problem: ids 1 .. 8; 0 is blank
NUM_COPIED = 10  # symbols at the start of a sequence
DELIMITER = NUM_SYMBOLS + 1
COPY_VOCABULARY = NUM_SYMBOLS + 2

ADDING_TRIVIAL = 1 / 6
"""The mean squared error of always predicting 1: the variance of a sum of two uniform numbers is 2/12 = 0.1667.

Le et al. (2015) give 0.1767, an error that many papers repeat.
"""


class Sums(NamedTuple):
    """Sequences of numbers and marks, (n, length, 2), and the sum of the two marked numbers, (n, 1)."""

    inputs: Tensor
    targets: Tensor


def adding(seed: int, stream: str, start: int, count: int, length: int) -> Sums:
    """The adding problem (Hochreiter & Schmidhuber 1997, experiment 4, as in Arjovsky et al. 2016, section 5.2).

    Numbers are uniform in [0, 1). One mark is uniform over the first half of the steps, the other over the second half.

    >>> inputs, targets = adding(1, "train", 0, 1, length=4)
    >>> [(round(number, 2), mark) for number, mark in inputs[0].tolist()], round(targets.item(), 2)
    ([(0.85, 1.0), (0.45, 0.0), (0.96, 0.0), (0.93, 1.0)], 1.78)
    """
    drawn = uniforms(seed, stream, start, count, length + 2)
    numbers, places = drawn[:, :length], drawn[:, length:]
    half = length // 2
    marked = torch.stack([(places[:, 0] * half).long(), half + (places[:, 1] * (length - half)).long()], 1)
    marks = torch.zeros_like(numbers).scatter_(1, marked, 1.0)
    return Sums(torch.stack([numbers, marks], 2).float(), numbers.gather(1, marked).sum(1, keepdim=True).float())


class Copies(NamedTuple):
    """Input ids and target ids, both (n, length + 20) int64."""

    inputs: Tensor
    targets: Tensor


def copying(seed: int, stream: str, start: int, count: int, length: int) -> Copies:
    """The copy problem (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016, section 5.1).

    Inputs: ten symbols, `length` - 1 blanks, the delimiter, ten blanks. Targets: blanks, then the ten symbols.

    >>> inputs, targets = copying(1, "train", 0, 1, length=3)
    >>> inputs[0].tolist()
    [7, 8, 3, 5, 6, 3, 5, 8, 7, 2, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    >>> targets[0].tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8, 3, 5, 6, 3, 5, 8, 7, 2]
    """
    symbols = (uniforms(seed, stream, start, count, NUM_COPIED) * NUM_SYMBOLS).long() + 1
    inputs = torch.zeros(count, length + 2 * NUM_COPIED, dtype=torch.int64)
    targets = torch.zeros_like(inputs)
    inputs[:, :NUM_COPIED] = targets[:, -NUM_COPIED:] = symbols
    inputs[:, NUM_COPIED + length - 1] = DELIMITER
    return Copies(inputs, targets)


def copy_trivial(length: int) -> float:
    """Cross-entropy in nats per step without memory: blanks are certain, each symbol is one of eight.

    >>> round(copy_trivial(100), 4)
    0.1733
    """
    return NUM_COPIED * math.log(NUM_SYMBOLS) / (length + 2 * NUM_COPIED)
