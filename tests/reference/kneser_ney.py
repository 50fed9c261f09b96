"""Interpolated modified Kneser-Ney with dictionaries and one recursion, as Chen and Goodman (1999) write it."""

import math
from collections import Counter, defaultdict


class PlainKneserNey:
    """Same arguments as lm.kneser_ney.KneserNey; ids as a list."""

    def __init__(self, train_ids, order, vocabulary_size):
        self.order, self.vocabulary_size = order, vocabulary_size
        self.counts = {order: Counter(tuple(train_ids[i : i + order]) for i in range(len(train_ids) - order + 1))}
        for shorter in range(order - 1, 0, -1):
            self.counts[shorter] = Counter(gram[1:] for gram in self.counts[shorter + 1])
        self.discounts = {order: self._discounts(counts) for order, counts in self.counts.items()}
        self.followers = {order: defaultdict(dict) for order in self.counts}
        for order_, counts in self.counts.items():
            for gram, count in counts.items():
                self.followers[order_][gram[:-1]][gram[-1]] = count

    @staticmethod
    def _discounts(counts):
        n = Counter(counts.values())
        if n[1] == 0:
            return (0.5, 0.5, 0.5)
        y = n[1] / (n[1] + 2 * n[2])
        if n[2] and n[3] and n[4]:
            three = (1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3])
            if min(three) > 0:
                return three
        return (y, y, y)

    def probability(self, context, id):
        """p(id | context), context a tuple of at most order - 1 ids."""
        lower = self.probability(context[1:], id) if context else 1 / self.vocabulary_size
        order = len(context) + 1
        followers = self.followers[order].get(context, {})
        if not followers:
            return lower
        total = sum(followers.values())
        lost = {id_: self.discounts[order][min(count, 3) - 1] for id_, count in followers.items()}
        own = followers.get(id, 0) - lost.get(id, 0)
        return own / total + sum(lost.values()) / total * lower

    def nats(self, ids):
        """-ln p of each id after those before it."""
        ids = list(ids)
        starts = [max(0, i - self.order + 1) for i in range(len(ids))]
        return [-math.log(self.probability(tuple(ids[s:i]), ids[i])) for i, s in enumerate(starts)]
