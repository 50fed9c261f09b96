"""The vote of the bank's candidates against loops, and on sequences that everybody knows."""

import math

import pytest
import torch

from sequences.baselines import plain as asked_again
from sequences.solvers import SOLVERS
from sequences.task import Recurrence
from sequences.vote import after_each, continued, vote
from tests.reference import bank as plain


def by_loops(x):
    """The value with the greatest sum of exp(streak + hits / 2), each candidate counted step by step."""
    streak, hits, rows = [0] * 840, [0] * 840, []
    for t in range(len(x)):
        rows = plain.candidates(x, t)
        for place, (_, right) in enumerate(rows):
            streak[place] = streak[place] + 1 if right > 0 else 0 if right < 0 else streak[place]
            hits[place] += right > 0
    totals = {}
    for place, (value, _) in enumerate(rows):
        if value is not None and 0 <= value <= 255:
            totals[value] = totals.get(value, 0.0) + math.exp(streak[place] + hits[place] / 2)
    return max(sorted(totals), key=totals.__getitem__)


@pytest.mark.parametrize("length", [2, 4, 8, 10])
def test_it_is_the_vote_of_a_loop(length):
    terms = torch.randint(12, (4, length), generator=torch.Generator().manual_seed(length))
    assert vote(terms).tolist() == [by_loops(row) for row in terms.tolist()]


@pytest.mark.parametrize(
    ("terms", "following"),
    [
        ([1, 1, 2, 3, 5, 8, 13, 21], 34),
        ([0, 1, 4, 9, 16, 25, 36, 49], 64),
        ([3, 1, 4, 3, 1, 4, 3, 1], 4),
        ([0, 1, 1, 2, 0, 2, 2, 1], 0),  # Fibonacci modulo 3
        ([0, 0, 1, 1, 2, 4, 7, 13], 24),  # tribonacci
        ([50, 60, 70, 40, 50, 60, 70, 40], 50),
        ([7], 7),
    ],
)
def test_sequences_that_everybody_knows(terms, following):
    assert vote(torch.tensor([terms])).tolist() == [following]


def test_going_on_from_what_was_read_is_asking_again():
    """Rows of three kinds: with a rule, without one, and more of them than are read at once."""
    start = torch.randint(40, (150, 2), generator=torch.Generator().manual_seed(1))
    terms = (start[:, :1] + start[:, 1:] * torch.arange(8)) % 256
    terms[::3] = torch.randint(256, (50, 8), generator=torch.Generator().manual_seed(2))
    slow = asked_again(vote)
    assert after_each(terms).equal(slow.after_each(terms))
    assert continued(terms, 4).equal(slow.continued(terms, 4))
    assert continued(terms, 0).shape == (150, 0)


def test_all_solvers_but_the_two_that_copy_are_named_as_such():
    """Then a profile takes none of them for a shortcut."""
    assert set(Recurrence.solvers) == set(SOLVERS) - {"copy_last", "last_difference"}
