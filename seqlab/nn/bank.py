"""A bank of candidates for the next term: views plus guesses at their residuals, and which of them were right before.

With A_h[t] a view of the terms up to x[t] (seqlab/nn/views.py), its residual when x[t] is read is R_h[t] = x[t] -
A_h[t-1]. A guess at R_h[t+1] from earlier residuals gives a candidate A_h[t] + guess. 70 views with 12 guesses each are
840 candidates a step, from integers alone: nothing is learned.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.nn.views import NUM_LAGS, NUM_VIEWS, Views, views

# B batch, T time, S terms with those before the first step, H views, G guesses, N = H G candidates

NUM_REPEATS = 6  # the residual of 0 .. 5 steps ago again
GUESSES = (*(f"residual {back + 1} back" for back in range(NUM_REPEATS)), "line of two residuals", "nearest",
           "nearest below", "nearest above", "last of the same parity", "modulus")  # fmt: skip
NUM_GUESSES = len(GUESSES)
NUM_CANDIDATES = NUM_VIEWS * NUM_GUESSES
NUM_KEPT = NUM_REPEATS + 1 + NUM_LAGS  # terms before a step: of the residuals looked at, one step earlier
FAR = 1 << 20  # a residual that is not there


class Candidates(NamedTuple):
    """The candidates of each step, all (B, T, N)."""

    values: Tensor  # int64
    known: Tensor  # bool: whether the terms that a candidate takes are there
    right: Tensor  # int8: 1 if the candidate of the step before was the term read now, -1 if not, 0 if it had none


def candidates(terms_BS: Tensor) -> Candidates:
    """The bank after each of the last S - NUM_KEPT terms. Candidate h G + g is view h with guess g.

    Args:
        terms_BS: (B, NUM_KEPT + T) integers, negative before the first.
    """
    values, known = views(terms_BS)
    terms = terms_BS[:, NUM_LAGS:, None].int()
    # place s of residuals is that of term NUM_LAGS + s, and of the view before it
    residuals = torch.where(known[:, :-1], terms - values[:, :-1], FAR)
    guesses = torch.stack(_guesses(terms_BS, Views(values, known), residuals), 3)
    now, before = guesses[:, 1:], guesses[:, :-1]
    read = residuals[:, NUM_REPEATS + 1 :, :, None]
    view, view_known = (part[:, NUM_REPEATS + 2 :, :, None] for part in (values, known))
    right = torch.where((before == FAR) | (read == FAR), 0, torch.where(before == read, 1, -1))
    return Candidates(
        (view + now).long().flatten(2), (view_known & (now != FAR)).flatten(2), right.to(torch.int8).flatten(2)
    )


class Record(NamedTuple):
    """How often each candidate was right: the times in a row up to now, and all times."""

    streak_BN: Tensor  # float32
    hits_BN: Tensor  # float32


def no_record(batch: int, device: torch.device) -> Record:
    """The record before the first term."""
    return Record(*(torch.zeros(batch, NUM_CANDIDATES, device=device) for _ in range(2)))


def trust(right: Tensor, record: Record) -> tuple[Tensor, Record]:
    """The trust in each candidate at each step, streak + hits / 2, and the record after the last step.

    A vote in which each candidate weighs exp(trust) predicts nine in ten terms of held-out rules (sequences/vote.py).
    A step at which a candidate had no value changes nothing.

    Args:
        right: (B, T, N), of `Candidates`.
        record: before the first of these steps.
    """
    streak, hits = record
    found = []
    for step in right.unbind(1):
        streak = torch.where(step < 0, 0, streak + step)
        hits = hits + (step > 0)
        found.append(streak + hits / 2)
    return torch.stack(found, 1), Record(streak, hits)


def _guesses(terms_BS: Tensor, seen: Views, residuals: Tensor) -> list[Tensor]:
    """Guesses at the next residual of each view, each (B, T + 1, H), from the step before the first on; FAR if none."""
    steps = residuals.shape[1] - NUM_REPEATS
    # of the last term read, the one before, ...: residuals, views and terms that they were residuals of
    back = [residuals[:, NUM_REPEATS - age : NUM_REPEATS - age + steps] for age in range(NUM_REPEATS + 1)]
    old = [seen.values[:, NUM_REPEATS - age : NUM_REPEATS - age + steps] for age in range(NUM_REPEATS + 1)]
    now = seen.values[:, NUM_REPEATS + 1 :]
    terms = terms_BS[:, NUM_LAGS - 1 :, None].int()
    read = [terms[:, NUM_REPEATS + 1 - age : NUM_REPEATS + 1 - age + steps] for age in range(NUM_REPEATS + 2)]
    line = torch.where((back[0] == FAR) | (back[1] == FAR), FAR, 2 * back[0] - back[1])
    return [*back[:NUM_REPEATS], line, *_nearest(now, old, back), _same_parity(read, back), _modulus(now, read, back)]


def _nearest(now: Tensor, old: list[Tensor], back: list[Tensor]) -> list[Tensor]:
    """The residual after the view nearest to the one of now: of all, of those not above it, of those not below it.

    Of equally near ones the latest.
    """
    found = [torch.full_like(now, FAR) for _ in range(3)]
    least = [torch.full_like(now, FAR) for _ in range(3)]
    for view, residual in zip(old, back, strict=True):
        off = torch.where(residual == FAR, FAR, now - view)
        for index, distance in enumerate((off.abs(), torch.where(off < 0, FAR, off), torch.where(off > 0, FAR, -off))):
            nearer = distance.abs() < least[index]
            least[index] = torch.where(nearer, distance, least[index])
            found[index] = torch.where(nearer, residual, found[index])
    return found


def _same_parity(read: list[Tensor], back: list[Tensor]) -> Tensor:
    """The residual after the last term that was even as the one of now is, or odd as it is."""
    found = torch.full_like(back[0], FAR)
    for term, residual in zip(reversed(read[1:]), reversed(back), strict=True):  # a later one overrides
        found = torch.where(((term ^ read[0]) & 1 == 0) & (residual != FAR), residual, found)
    return found


def _modulus(now: Tensor, read: list[Tensor], back: list[Tensor]) -> Tensor:
    """What makes the next term a remainder: residuals differ by multiples of a modulus above all terms.

    The modulus is the greatest common divisor of the differences of the residuals. The candidate is A + R modulo it.
    """
    divisor = torch.zeros_like(now)
    for later, earlier in pairwise(back):
        off = torch.where((later == FAR) | (earlier == FAR), 0, later - earlier)
        divisor = torch.gcd(divisor, off)
    highest = torch.stack(read).amax(0)
    fits = (divisor > highest) & (back[0] != FAR)
    remainder = (now + back[0]).remainder(divisor.clamp(min=1))
    return torch.where(fits, remainder - now, FAR)
