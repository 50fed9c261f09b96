"""The vectorised solvers against fractions, one sequence at a time, and on sequences that everybody knows."""

import random
from functools import cache
from itertools import permutations

import pytest
import torch

from sequences.datamodule import RecurrenceDataModule
from sequences.decision_list import Fits, fits_of, learned, whole
from sequences.solver_rules import RULES
from sequences.solvers import LEARNED_ORDER, SOLVERS
from tests.reference import solvers as plain

LENGTHS = range(1, 11)
EXACT = [name for name in SOLVERS if name != "vote"]  # which is no rule, but many: test_vote.py

# the terms, and the next one by: last difference, difference table, recurrence, cascade, decision list (copy last needs
# no table)
GOLDEN = {
    "constant": ([9, 9, 9, 9, 9, 9, 9, 9], 9, 9, 9, 9, 9),
    "arithmetic": ([3, 8, 13, 18, 23, 28, 33, 38], 43, 43, 43, 43, 43),
    "Fibonacci": ([1, 1, 2, 3, 5, 8, 13, 21], 29, 21, 34, 34, 34),
    "squares": ([0, 1, 4, 9, 16, 25, 36, 49], 62, 64, 64, 64, 64),  # also x'' = 2 x' - x + 2,
    "cubes": ([0, 1, 8, 27, 64, 125], 186, 216, 125, 216, 216),
    "powers of 2": ([1, 2, 4, 8, 16, 32, 64], 96, 64, 128, 128, 128),
    "powers of 3/2": ([16, 24, 36, 54, 81], 108, 81, 81, 81, 108),  # the next one is no integer
    "powers of 1/2": ([64, 32, 16, 8, 4], 0, 4, 2, 2, 2),
    "2 x + 1": ([1, 3, 7, 15, 31, 63], 95, 63, 127, 127, 127),
    "period 2": ([7, 200, 7, 200, 7, 200, 7, 200], 393, 200, 7, 7, 7),
    "period 3": ([5, 1, 30, 5, 1, 30, 5, 1], -3, 1, 30, 30, 30),
    "period 4": ([5, 1, 30, 2, 5, 1, 30, 2], -26, 2, 2, 5, 5),
    "steps of +2 and +5": ([1, 3, 8, 10, 15, 17, 22, 24], 26, 24, 29, 29, 29),
    "steps of +1, +4 and +9": ([0, 1, 5, 14, 15, 19, 28, 29], 30, 29, 29, 33, 33),
    "no rule": ([3, 1, 4, 1, 5, 9, 2, 6], 10, 6, 6, 6, 0),
    "one term": ([40], 40, 40, 40, 40, 40),
    "two terms": ([40, 50], 60, 50, 50, 50, 60),
    "two equal terms": ([40, 40], 40, 40, 40, 40, 40),
    "three terms in line": ([40, 50, 60], 70, 70, 60, 70, 70),  # one equation is left for a line, none for x' = a x + c
    "period 2, seen once and a half": ([40, 50, 40], 30, 40, 40, 40, 30),
    "only zeros, then one": ([0, 0, 0, 0, 1], 2, 1, 1, 1, 2),
    "tribonacci": ([0, 0, 1, 1, 2, 4, 7, 13], 19, 13, 13, 13, 24),
    "three terms seen": ([8, 1, 2, 60, 9, 8, 1, 2], 3, 2, 2, 2, 60),
    "two differences seen": ([5, 8, 10, 30, 33, 35], 37, 35, 35, 35, 55),
}


@cache
def rule_made(k):
    """Sequences of many kinds, those whose k terms stay in 0..255."""
    draw = random.Random(k).randint
    made = []
    for _ in range(200):
        kind, a, b, c = draw(0, 4), draw(-3, 3), draw(-3, 3), draw(-20, 20)
        terms = [draw(0, 60) for _ in range(k)]
        for i in range(1, k):
            if kind == 0:
                terms[i] = a * terms[i - 1] + c
            elif kind == 1 and i > 1:
                terms[i] = a * terms[i - 1] + b * terms[i - 2] + c
            elif kind == 2 and i > 2:
                terms[i] = terms[i - abs(a)] if a else 7
            elif kind == 3:
                terms[i] = a * i * i + c * i + terms[0]
            elif kind == 4 and i > 3:
                terms[i] = terms[i - 1] + terms[i - 1 - abs(b)] - terms[i - 2 - abs(b)] if abs(b) < 3 else terms[i - 1]
        if all(0 <= term <= 255 for term in terms):
            made.append(terms)
    return made


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("k", LENGTHS)
def test_equal_to_fractions_on_sequences_made_by_rules(name, k):
    terms = rule_made(k)
    assert len(terms) > 30
    expected = [getattr(plain, name)(row) for row in terms]
    assert SOLVERS[name](torch.tensor(terms)).tolist() == expected
    if k > 5 and name not in ("copy_last", "last_difference"):
        assert sum(e != row[-1] for e, row in zip(expected, terms, strict=True)) > 10  # rules were found


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("num_values", [2, 3, 256])
def test_equal_to_fractions_on_random_terms(name, num_values):
    """With few values, singular equations, short periods and false alarms are common."""
    for k in LENGTHS:
        terms = torch.randint(num_values, (60, k), generator=torch.Generator().manual_seed(k))
        assert SOLVERS[name](terms).tolist() == [getattr(plain, name)(row) for row in terms.tolist()]


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case):
    terms, *expected = GOLDEN[case]
    got = {name: SOLVERS[name](torch.tensor([terms])).item() for name in EXACT}
    assert got == dict(zip(EXACT, [terms[-1], *expected], strict=True))


def test_the_shipped_order_is_that_learned_on_validation():
    """From fewer sequences than the command takes: the same rules, and no order is better by one hit in a hundred."""
    data = RecurrenceDataModule(total_steps=1, num_val=3000)
    fits = fits_of(whole(data.val_samples.terms))
    names = list(RULES)
    order = learned(fits)
    shipped = [names.index(rule) for rule in LEARNED_ORDER]
    assert fits.hits(order) >= fits.hits(shipped) > 0.99 * fits.hits(order)


def test_hill_climbing_finds_the_best_of_all_orders():
    fits = Fits(torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1]]).bool(),
                torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]]).bool(),
                torch.tensor([0, 0, 0, 0]).bool())  # fmt: skip
    best = max(fits.hits(order) for size in range(4) for order in permutations(range(3), size))
    assert fits.hits(learned(fits)) == best == 4


def test_a_near_miss_is_no_rule():
    """The first five terms determine an order 2 with constant: its sixth is 119.9996, its seventh 113.996."""
    assert SOLVERS["recurrence"](torch.tensor([[55, 148, 245, 27, 253, 120]])).tolist() == [120]


def test_rows_do_not_meet():
    """A row's prediction does not depend on its neighbours, and the input stays as it was."""
    terms = torch.tensor([row[0] for row in GOLDEN.values() if len(row[0]) == 8])
    before = terms.clone()
    for solver in SOLVERS.values():
        together = solver(terms)
        assert together.dtype == torch.int64
        assert together.tolist() == [solver(row[None]).item() for row in terms]
        assert solver(terms[:0]).tolist() == []
        together += 1
        assert torch.equal(terms, before)


def test_long_sequences_stay_exact():
    """Differences of high order outgrow int64; they are not asked."""
    bytes_ = torch.randint(256, (50, 200), generator=torch.Generator().manual_seed(0))
    assert torch.equal(SOLVERS["difference_table"](bytes_), bytes_[:, -1])
    line = torch.arange(200)[None]
    for name in ("difference_table", "recurrence", "cascade"):
        assert SOLVERS[name](line).tolist() == [200]
