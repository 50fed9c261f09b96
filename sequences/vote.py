"""The vote of a bank of candidates, without a network and without training: the baseline of model=solver_bank."""

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.nn import bank
from sequences.family import NUM_VALUES

NO_TERM = -1
ROWS_AT_ONCE = 128  # so that the candidates fit into the CPU's caches


def vote(terms: Tensor) -> Tensor:
    """The next term of each row by a vote of the candidates of seqlab/nn/bank.py.

    Each weighs exp(streak + hits / 2): how many times in a row it was right up to now, and how many times in all. The
    two coefficients are the best of a few on validation sequences; nothing else is fitted. Without a candidate inside
    0..255 the last term is copied.

    >>> vote(torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21], [200, 100, 50, 25, 12, 6, 3, 1]])).tolist()
    [34, 0]
    """
    return after_each(terms)[:, -1]


def after_each(terms: Tensor) -> Tensor:
    """The vote after each of the terms (n, t), from those up to it: (n, t). The bank is computed once, not t times.

    >>> after_each(torch.tensor([[1, 2, 3, 4]])).tolist()
    [[1, 3, 4, 5]]
    """
    return torch.cat([_read(rows, None)[0] for rows in terms.split(ROWS_AT_ONCE)])


def continued(terms: Tensor, count: int) -> Tensor:
    """The next `count` votes after terms (n, t), each after all those before it: (n, count). Each term is read once.

    >>> continued(torch.tensor([[1, 1, 2, 3, 5, 8]]), 3).tolist()
    [[13, 21, 34]]
    """
    if count == 0:
        return terms.new_empty(len(terms), 0)
    return torch.cat([_continued(rows, count) for rows in terms.split(ROWS_AT_ONCE)])


class _Read(NamedTuple):
    """What is kept of the terms that were read: the last ones, and how often each candidate was right."""

    terms_BP: Tensor
    record: bank.Record


def _continued(terms: Tensor, count: int) -> Tensor:
    found, read = [], None
    for _ in range(count):
        votes, read = _read(terms, read)
        terms = votes[:, -1:]
        found.append(terms)
    return torch.cat(found, 1)


def _read(terms: Tensor, before: _Read | None) -> tuple[Tensor, _Read]:
    """The votes after each of some terms (n, t), which follow those read before."""
    n, device = len(terms), terms.device
    if before is None:
        before = _Read(torch.full((n, bank.NUM_KEPT), NO_TERM, device=device), bank.no_record(n, device))
    terms_BS = torch.cat([before.terms_BP, terms], 1)
    found = bank.candidates(terms_BS)
    trust, record = bank.trust(found.right, before.record)
    possible = found.known & (found.values >= 0) & (found.values < NUM_VALUES)
    most = trust.masked_fill(~possible, 0).amax(2, keepdim=True)
    weights = torch.where(possible, (trust - most).double().exp(), 0)
    totals = torch.zeros(*terms.shape, NUM_VALUES, dtype=torch.float64, device=device)
    totals.scatter_add_(2, found.values.clamp(0, NUM_VALUES - 1), weights)
    votes = torch.where(possible.any(2), totals.argmax(2), terms)
    return votes, _Read(terms_BS[:, -bank.NUM_KEPT :], record)
