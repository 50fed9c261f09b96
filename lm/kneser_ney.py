"""Interpolated modified Kneser-Ney n-grams over ids, on numpy arrays.

Chen and Goodman (1999), "An empirical study of smoothing techniques for language modeling": each order subtracts one of
three discounts from its counts, by whether a count is 1, 2 or more, and what is subtracted weighs the order below. The
highest order counts occurrences; lower ones count how many different ids stand before an n-gram. The lowest order
interpolates with the uniform distribution, so an id that training never showed has a probability too.
"""

from typing import NamedTuple

import numpy as np

POSITIONS_AT_ONCE = 2**20  # of a text that is measured
CODE_BITS = 63  # an n-gram is one int64: its ids side by side, the last one lowest


class Level(NamedTuple):
    """One order: its n-grams and their contexts, each sorted by code.

    grams: codes of n-grams, int64.
    counts: how often each was seen.
    discounts: what counts 0, 1, 2, 3 and more lose.
    contexts: codes of the n-grams without their last id, each once.
    totals: the sum of counts after each context.
    backoff: the share of that sum which was subtracted: the weight of the order below.
    """

    grams: np.ndarray
    counts: np.ndarray
    discounts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    backoff: np.ndarray


class KneserNey:
    """An n-gram model of ids 0 .. vocabulary_size - 1.

    Args:
        train_ids: (length,) of any integer type.
        order: context and next id together, at least 1.
        vocabulary_size: how many ids there are, seen or not.

    Raises:
        ValueError: an id is out of range, there are fewer ids than the order, or order x bits of an id exceed 63.
    """

    def __init__(self, train_ids: np.ndarray, order: int, vocabulary_size: int):
        self.vocabulary_size = vocabulary_size
        self.bits = bits_of(vocabulary_size)
        if not 1 <= order <= CODE_BITS // self.bits:
            raise ValueError(f"order={order} must be 1 .. {CODE_BITS // self.bits} for {vocabulary_size:,} ids")
        if len(train_ids) < order:
            raise ValueError(f"{len(train_ids)} ids are too few for order={order}")
        grams, counts = np.unique(self._codes(self._checked(train_ids), order), return_counts=True)
        counted = [(grams, counts.astype(np.uint32))]
        for shorter in range(order - 1, 0, -1):
            # an n-gram of this order comes from each different id that stands before it
            grams, counts = np.unique(grams & ((1 << self.bits * shorter) - 1), return_counts=True)
            counted.append((grams, counts.astype(np.uint32)))
        self.counted = counted[::-1]  # by order; the rest of a Level takes twice as much memory again

    def _checked(self, ids: np.ndarray) -> np.ndarray:
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary_size:
            raise ValueError(f"ids {ids.min()} .. {ids.max()} must be within 0 .. {self.vocabulary_size - 1}")
        return ids.astype(np.min_scalar_type(self.vocabulary_size - 1), copy=False)

    def _codes(self, ids: np.ndarray, order: int) -> np.ndarray:
        """The n-gram that ends at each position from the order-th on, as one number: (length - order + 1,)."""
        codes = np.zeros(len(ids) - order + 1, dtype=np.int64)
        for place in range(order):
            codes <<= self.bits
            codes |= ids[place : place + len(codes)].astype(np.int64)
        return codes

    def _level(self, grams: np.ndarray, counts: np.ndarray) -> Level:
        lost = discounts(counts)
        contexts = grams >> self.bits
        starts = np.flatnonzero(np.concatenate([[True], contexts[1:] != contexts[:-1]]))
        totals = np.add.reduceat(counts, starts, dtype=np.float64)
        backoff = np.add.reduceat(lost[np.minimum(counts, 3)], starts) / totals
        return Level(grams, counts, lost, contexts[starts], totals, backoff)

    def nats(self, ids: np.ndarray) -> np.ndarray:
        """-ln p of each id given the ids before it, as many as there are and the order sees: (length,) float64.

        A context that training never showed leaves the next id to the order below.

        Raises:
            ValueError: an id is out of range.
        """
        ids = self._checked(ids)
        probabilities = np.full(len(ids), 1 / self.vocabulary_size)
        for order, (grams, counts) in enumerate(self.counted, start=1):
            level = self._level(grams, counts)
            for start in range(0, len(ids) - order + 1, POSITIONS_AT_ONCE):
                codes = self._codes(ids[start : start + POSITIONS_AT_ONCE + order - 1], order)
                lower = probabilities[start + order - 1 : start + order - 1 + len(codes)]
                lower[:] = self._raised(level, codes, lower)
        return -np.log(probabilities)

    def _raised(self, level: Level, codes: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """The probabilities of an order from those of the order below."""
        context, known = find(level.contexts, codes >> self.bits)
        gram, seen = find(level.grams, codes)
        count = np.where(seen, level.counts[gram], 0)
        count = count - level.discounts[np.minimum(count, 3)]
        return np.where(known, count / level.totals[context] + level.backoff[context] * lower, lower)


def bits_of(vocabulary_size: int) -> int:
    """The bits that an id takes.

    >>> bits_of(2), bits_of(128), bits_of(129)
    (1, 7, 8)
    """
    return max(1, (vocabulary_size - 1).bit_length())


def find(table: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted number stands in a sorted table, and whether it does; where not, the place is arbitrary."""
    places = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return places, table[places] == wanted


def discounts(counts: np.ndarray) -> np.ndarray:
    """What counts 0, 1, 2, 3 and more lose: (4,), the first of them 0.

    With n_c n-grams of count c and Y = n_1 / (n_1 + 2 n_2): c - (c + 1) Y n_(c+1) / n_c for c = 1, 2, 3. Where one of
    n_1 .. n_4 is zero, or a discount would not be positive, all lose Y (Kneser and Ney 1995); 1/2 where no count is 1.
    """
    number = np.array([(counts == count).sum() for count in range(1, 5)], dtype=np.float64)
    if number[0] == 0:
        return np.array([0.0, 0.5, 0.5, 0.5])
    single = number[0] / (number[0] + 2 * number[1])
    if number.all():
        three = np.arange(1, 4) - np.arange(2, 5) * single * number[1:] / number[:-1]
        if (three > 0).all():
            return np.array([0.0, *three])
    return np.array([0.0, single, single, single])
