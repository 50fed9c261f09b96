"""Strings that no look at neighbouring letters tells from those of a language."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from transduction.paths import Paths


class Neighbours:
    """Which letters begin, follow each other and end in strings of a language of one length.

    The strings that fit form a locally testable language in the strict sense (McNaughton and Papert 1971, "Counter-Free
    Automata"): for a^n b^n those with some a's before some b's.

    Args:
        members: strings of the language, (n, length).
        num_letters: of the alphabet.
    """

    def __init__(self, members: Tensor, num_letters: int):
        self.edge = num_letters  # stands before the first letter and after the last one
        self.seen = torch.zeros(num_letters + 1, num_letters + 1, dtype=torch.bool)
        framed = pad(members, (1, 1), value=self.edge)
        self.seen[framed[:, :-1], framed[:, 1:]] = True
        after = self.seen.roll(1, 0)  # states: the beginning, each letter; and one from which nothing fits
        lost = num_letters + 1
        moves = torch.arange(1, lost).where(after[:, : self.edge], lost).tolist()
        self.paths = Paths([*moves, [lost] * num_letters], [*after[:, self.edge].tolist(), False])

    def fit(self, strings: Tensor) -> Tensor:
        """Whether each prefix fits, (n, length) -> (n, length) bool."""
        goes_on = self.seen[pad(strings, (1, 0), value=self.edge)[:, :-1], strings]
        return goes_on.cummin(1).values & self.seen[strings, self.edge]

    def draw(self, uniforms: Tensor) -> Tensor:
        """Strings that fit, all of a length equally likely: (n, length) -> (n, length) int64."""
        return self.paths.draw(uniforms.shape[1], uniforms)[0]
