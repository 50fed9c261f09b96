"""The bank of candidates against loops in Python (tests/reference/bank.py), and the record of which were right."""

import pytest
import torch

from seqlab.nn import bank, views
from seqlab.nn.numbers import MISSING
from tests.reference import bank as plain

TERMS = [
    [3, 250, 0, 7, 7, 255, 31, 64, 2, 9],  # longer than what is looked back at
    [0, 1, 1, 2, 3, 5, 1, 6, 0, 6],  # Fibonacci modulo 7
    [200, 100, 50, 25, 12, 6, 3, 1, 0, 0],
    [5, 5, 7, 7, 9, 9, 11, 11, 13, 13],
    [10, 17, 3, 10, 17, 3, 10, 17, 3, 10],
]


def bank_of(terms):
    return bank.candidates(torch.cat([torch.full((len(terms), bank.NUM_KEPT), MISSING), torch.tensor(terms)], 1))


def test_there_are_840_candidates():
    assert (views.NUM_VIEWS, bank.NUM_GUESSES, bank.NUM_CANDIDATES) == (70, 12, 840)


@pytest.mark.parametrize("row", range(len(TERMS)))
def test_candidates_and_what_was_right_are_those_of_a_loop(row):
    found = bank_of(TERMS)
    for t in range(len(TERMS[row])):
        for place, (value, right) in enumerate(plain.candidates(TERMS[row], t)):
            what = (t, divmod(place, bank.NUM_GUESSES))
            assert bool(found.known[row, t, place]) == (value is not None), what
            assert value is None or int(found.values[row, t, place]) == value, what
            assert int(found.right[row, t, place]) == right, what


def test_trust_is_the_streak_and_half_of_all_hits_whatever_the_pieces():
    right = torch.tensor([[1, 1, -1, 0, 1, 0, 1]], dtype=torch.int8)[..., None].expand(-1, -1, bank.NUM_CANDIDATES)
    whole, record = bank.trust(right, bank.no_record(1, right.device))
    assert whole[0, :, 0].tolist() == [1.5, 3.0, 1.0, 1.0, 2.5, 2.5, 4.0]
    first, between = bank.trust(right[:, :3], bank.no_record(1, right.device))
    rest, after = bank.trust(right[:, 3:], between)
    assert torch.equal(torch.cat([first, rest], 1), whole)
    assert all(torch.equal(a, b) for a, b in zip(after, record, strict=True))


def test_each_view_has_a_name_that_is_its_value():
    terms = [7, 30, 13, 21]
    found = views.views(torch.tensor([terms]))
    for view, value in enumerate(found.values[0, -1].tolist()):
        text = views.name(view, terms)
        if text.startswith(("floor", "ceiling")):
            p, q, x = (int(number) for number in text.split("(")[1].replace("/", " ").replace("x", " ")[:-1].split())
            assert value == (p * x // q if text.startswith("floor") else -(-p * x // q)), text
        else:
            assert value == eval(text.replace("x", "*")), text  # arithmetic of our own
