"""Interpolated modified Kneser-Ney n-grams over ids, on numpy arrays.

Chen and Goodman (1999), "An empirical study of smoothing techniques for language modeling": each order subtracts one of
three discounts from its counts, for counts of 1, 2 and more. The subtracted mass is the weight of the order below. The
highest order counts occurrences; lower orders count the distinct ids before an n-gram. The lowest order interpolates
with the uniform distribution, so unseen ids also have a probability.
"""

from typing import NamedTuple

import numpy as np

POSITIONS_AT_ONCE = 2**20  # positions per chunk of evaluated text
CODE_BITS = 63  # an n-gram is one int64: its ids concatenated, the last one in the lowest bits


class Level(NamedTuple):
    """One order: its n-grams and their contexts, each sorted by code.

    grams: codes of the n-grams, int64.
    counts: count of each n-gram.
    discounts: discounts of the counts 0, 1, 2, and 3 or more.
    contexts: unique codes of the n-grams without their last id.
    totals: sum of counts after each context.
    backoff: proportion of that sum that is subtracted, which is the weight of the order below.
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
        order: length of context and next id together, at least 1.
        vocabulary_size: number of ids, seen or not.

    Raises:
        ValueError: an id is out of range, there are fewer ids than the order, or order x bits of an id exceeds 63.
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
            # count each n-gram of this order once per distinct id before it
            grams, counts = np.unique(grams & ((1 << self.bits * shorter) - 1), return_counts=True)
            counted.append((grams, counts.astype(np.uint32)))
        self.counted = counted[::-1]  # by order; the rest of a Level would take twice as much memory again

    def _checked(self, ids: np.ndarray) -> np.ndarray:
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary_size:
            raise ValueError(f"ids {ids.min()} .. {ids.max()} must be within 0 .. {self.vocabulary_size - 1}")
        return ids.astype(np.min_scalar_type(self.vocabulary_size - 1), copy=False)

    def _codes(self, ids: np.ndarray, order: int) -> np.ndarray:
        """The code of the n-gram that ends at each position from the order-th on: (length - order + 1,) int64."""
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
        """-ln p of each id given up to order - 1 ids before it: (length,) float64.

        If a context is unseen, the order below predicts the next id.

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
        """The probabilities under an order, given those under the order below."""
        context, known = find(level.contexts, codes >> self.bits)
        gram, seen = find(level.grams, codes)
        count = np.where(seen, level.counts[gram], 0)
        count = count - level.discounts[np.minimum(count, 3)]
        return np.where(known, count / level.totals[context] + level.backoff[context] * lower, lower)


def bits_of(vocabulary_size: int) -> int:
    """The number of bits of an id.

    >>> bits_of(2), bits_of(128), bits_of(129)
    (1, 7, 8)
    """
    return max(1, (vocabulary_size - 1).bit_length())


def find(table: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each wanted number in a sorted table, and whether it is there. If not, the index is arbitrary."""
    places = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return places, table[places] == wanted


def discounts(counts: np.ndarray) -> np.ndarray:
    """The discounts of the counts 0, 1, 2, and 3 or more: (4,) float64, the first of them 0.

    With n_c n-grams of count c and Y = n_1 / (n_1 + 2 n_2): c - (c + 1) Y n_(c+1) / n_c for c = 1, 2, 3. If one of
    n_1 .. n_4 is zero, or a discount would not be positive, all are Y (Kneser and Ney 1995). If no count is 1, all are
    1/2.
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
