"""The vote of a bank of candidates, without a network and without training: the baseline of model=solver_bank."""

import torch
from torch import Tensor

from seqlab.nn import bank
from sequences.family import NUM_VALUES

NO_TERM = -1
ROWS_AT_ONCE = 256  # so that the candidates fit into the CPU's caches


def vote(terms: Tensor) -> Tensor:
    """The next term of each row by a vote of the candidates of seqlab/nn/bank.py.

    Each weighs exp(streak + hits / 2): how many times in a row it was right up to now, and how many times in all. The
    two coefficients are the best of a few on validation sequences; nothing else is fitted. Without a candidate inside
    0..255 the last term is copied.

    >>> vote(torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21], [200, 100, 50, 25, 12, 6, 3, 1]])).tolist()
    [34, 0]
    """
    return torch.cat([_vote(rows) for rows in terms.split(ROWS_AT_ONCE)])


def _vote(terms: Tensor) -> Tensor:
    found = bank.candidates(torch.cat([torch.full((len(terms), bank.NUM_KEPT), NO_TERM), terms], 1))
    trust, _ = bank.trust(found.right, bank.no_record(len(terms), terms.device))
    values, trust = found.values[:, -1], trust[:, -1]
    possible = found.known[:, -1] & (values >= 0) & (values < NUM_VALUES)
    most = trust.masked_fill(~possible, 0).amax(1, keepdim=True)
    weights = torch.where(possible, (trust - most).double().exp(), 0)
    totals = torch.zeros(len(terms), NUM_VALUES, dtype=torch.float64).scatter_add(1, values.clamp(0, 255), weights)
    return torch.where(possible.any(1), totals.argmax(1), terms[:, -1])
