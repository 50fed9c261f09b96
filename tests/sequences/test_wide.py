"""The wider rules against plain Python on the same numbers, and what is kept out of them."""

from itertools import product
from math import floor, gcd

import pytest
import torch

from seqlab.randomness import uniforms
from sequences import wide
from sequences.datamodule import RecurrenceDataModule
from sequences.held_out import code_of, may_train
from sequences.named import named, windows


@pytest.fixture(scope="module")
def numbers():
    return uniforms(1, "test", 0, 200, 2 * (1 + wide.NUM_PARAMETERS))


def between(number, low, high):
    return low + floor(float(number) * (high - low + 1))


def digits(n, base):
    return [n % base, *digits(n // base, base)] if n else [0]


def by_digits(u):
    base = [3, 5, 6, 7][between(u[0], 0, 3)]
    a, o, f, g = between(u[1], 1, 4), between(u[2], 0, 40), between(u[4], 1, 5), between(u[5], 0, 9)
    return [f * (sum if u[3] < 0.5 else max)(digits(a * i + o, base)) + g for i in range(9)]


def by_divisors(u):
    k, a, o = between(u[0], 2, 12), between(u[1], 1, 4), between(u[2], 1, 40)
    f, g, terms = between(u[4], 1, 5), between(u[5], 0, 9), []
    for n in (a * i + o for i in range(9)):
        found = [d for d in range(1, k + 1) if n % d == 0]
        terms.append(f * (gcd(n, k) if u[3] < 1 / 3 else sum(found) if u[3] > 2 / 3 else len(found)) + g)
    return terms


def by_polynomial(u):
    cubic = between(u[0], 0, 3) if u[1] < 0.4 else 0
    square, line, start, k = between(u[2], -4, 8), between(u[3], -12, 12), between(u[4], 0, 60), between(u[5], 1, 6)
    return [(cubic * i**3 + square * i * i + line * i + start) // k for i in range(9)]


@pytest.mark.parametrize(
    ("kind", "plain"),
    [(wide.of_digits, by_digits), (wide.of_divisors, by_divisors), (wide.polynomial, by_polynomial)],
)
def test_terms_are_those_of_plain_python(numbers, kind, plain):
    assert kind(numbers).tolist() == [plain(u) for u in numbers]


def test_a_recurrence_of_order_three_holds(numbers):
    for x in wide.order_three(numbers)[:60].tolist():
        if max(map(abs, x)) < 2**20:
            assert any(
                all(x[t] == a * x[t - 1] + b * x[t - 2] + c * x[t - 3] + d for t in range(3, 9))
                for a, b, c in product(range(-1, 3), repeat=3)
                for d in range(-2, 3)
            ), x


def test_beatty_sequences_lie_on_a_line_rounded_down(numbers):
    """Two terms k steps apart differ by the slope times k, but for less than one."""
    for x in wide.beatty(numbers).tolist():
        pairs = [(i, j) for i in range(9) for j in range(i + 1, 9)]
        low = max((x[j] - x[i] - 1) / (j - i) for i, j in pairs)
        high = min((x[j] - x[i] + 1) / (j - i) for i, j in pairs)
        assert low < high and -1e-9 < high <= 8 + 1


def test_periods_and_remainders_and_what_is_made_of_two(numbers):
    for x in wide.periodic(numbers).tolist():
        assert any(all(x[i] == x[i - p] for i in range(p, 9)) for p in range(3, 7))
    assert wide.remainders(numbers).amax() < 16
    first, second = (part.tolist() for part in wide.halves(numbers))
    both = zip(first, second, wide.sum_of_two(numbers).tolist(), wide.interleaved(numbers).tolist(), strict=True)
    for one, other, total, mixed in both:
        assert total == [a + b for a, b in zip(one, other, strict=True)]
        assert mixed == [one[i // 2] if i % 2 == 0 else other[i // 2] for i in range(9)]
    sums = wide.partial_sums(numbers).tolist()
    assert sums == [[sum(row[: i + 1]) for i in range(9)] for row in wide.some(numbers).tolist()]


def test_drawn_sequences_are_in_range_varied_and_not_held_out():
    terms = wide.draw_wide(1, torch.arange(3000))
    assert terms.min() >= 0 and terms.max() <= 255
    assert (terms.diff() != 0).sum(1).min() > wide.LEAST_CHANGES
    assert may_train(code_of(terms)).all() and len(terms.unique(dim=0)) > 2500
    real = {tuple(row) for row in windows(named(), 9).tolist()}
    assert not real & {tuple(row) for row in terms.tolist()}


def test_a_sample_does_not_depend_on_its_block_and_has_its_share():
    whole, part = wide.draw_wide(3, torch.arange(40)), wide.draw_wide(3, torch.arange(17, 30))
    assert torch.equal(whole[17:30], part)
    some, none = (RecurrenceDataModule(total_steps=1, batch_size=1000, wide=share) for share in (0.15, 0.0))
    changed = (some.train_batch(3) != none.train_batch(3)).any(1).double().mean()
    assert 0.11 < float(changed) < 0.19
