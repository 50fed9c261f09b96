"""`Form` and builders of endless sequences: from the index, by a property, from earlier terms, by a sieve.

sequences/named_forms.py defines each real sequence with these builders and with the functions of one integer in
sequences/number_theory.py.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from math import isqrt
from typing import NamedTuple

from sequences.number_theory import digits


class Form(NamedTuple):
    """A sequence: its number and name in the OEIS, the index of its first term, and a function offset -> all terms."""

    a_number: str
    name: str
    offset: int
    make: Callable[[int], Iterator[int]]

    def terms(self) -> Iterator[int]:
        """An iterator over the terms from the first on."""
        return self.make(self.offset)


def at(term: Callable[[int], int]) -> Callable[[int], Iterator[int]]:
    """The sequence with term(n) at index n."""
    return lambda offset: map(term, count(offset))


def those(has: Callable[[int], bool], start: int = 1) -> Callable[[int], Iterator[int]]:
    """All integers from `start` on that have a property, ascending."""
    return lambda offset: filter(has, count(start))


def sums(first: Sequence[int], *lags: int, constant: int = 0) -> Callable[[int], Iterator[int]]:
    """The given first terms, then the sums of the terms at the lags (which may repeat) plus a constant."""

    def terms(offset: int) -> Iterator[int]:
        known = list(first)
        for n in count():
            if n == len(known):
                known.append(sum(known[-lag] for lag in lags) + constant)
            yield known[n]

    return terms


def nested(first: Sequence[int], following: Callable[[list[int], int], int]) -> Callable[[int], Iterator[int]]:
    """The given first terms; each further term is following(all earlier terms, their number)."""

    def terms(offset: int) -> Iterator[int]:
        known = list(first)
        for n in count():
            if n == len(known):
                known.append(following(known, n))
            yield known[n]

    return terms


def root_digits(radicand: int) -> Callable[[int], Iterator[int]]:
    """The first decimal digits of a square root; computed to 100 places after the point."""
    return lambda offset: iter(digits(isqrt(radicand * 10**200)))


def kolakoski(offset: int) -> Iterator[int]:
    """1, 2, 2 ...: the sequence equals the sequence of its own run lengths."""
    known = [1, 2, 2]
    for n in count():
        if n > 1:
            known += [3 - known[-1]] * known[n]
        yield known[n]


def lucky(offset: int) -> Iterator[int]:
    """The lucky numbers below 1000, which a sieve by position leaves of the odd numbers."""
    left, place = list(range(1, 1000, 2)), 1
    while place < len(left) and left[place] <= len(left):
        del left[left[place] - 1 :: left[place]]
        place += 1
    return iter(left)


def next_ulam(known: list[int], n: int) -> int:
    """The least number above all known terms that is a sum of two distinct known terms in exactly one way."""
    ways = (
        (x, sum(x - a in known and x - a > a for a in known)) for x in range(known[-1] + 1, known[-1] + known[-2] + 1)
    )
    return next(x for x, number in ways if number == 1)


def next_recaman(known: list[int], n: int) -> int:
    """The last term minus n if that is positive and new, else plus n."""
    back = known[-1] - n
    return back if back > 0 and back not in known else known[-1] + n
