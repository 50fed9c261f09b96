"""What an answer is: one of some names, or a set of them; with its loss, its decision and its text."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from seqlab.decode import Choose
from seqlab.model import precise
from seqlab.spec import Bits, Classes


class Kind(ABC):
    """How logits become answers.

    Args:
        names: of the logits.
    """

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)

    @property
    @abstractmethod
    def output(self) -> Classes | Bits:
        """What a model outputs at each step."""

    @property
    @abstractmethod
    def number(self) -> int:
        """How many different answers there are."""

    @property
    @abstractmethod
    def guessing(self) -> float:
        """The loss where every answer is equally likely, in nats."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss in nats: logits (n, names), targets as in `Drawn` without its first two axes."""

    @abstractmethod
    def chosen(self, logits: Tensor) -> Tensor:
        """The answers that logits (..., names) stand for, as `Drawn.targets` has them."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """The probability of each name, (..., names): of being the answer, or of being in the set."""

    @abstractmethod
    def drawn(self, logits: Tensor, choose: Choose) -> Tensor:
        """Sampled answers: logits (n, names) of one step, once for each sample -> as in `Drawn.targets`, (n, ...)."""

    @abstractmethod
    def text(self, answers: Tensor) -> str:
        """Some answers, blanks between."""


class OneOf(Kind):
    """One of the names, an id; cross-entropy."""

    @property
    def output(self) -> Classes:
        return Classes(len(self.names))

    @property
    def number(self) -> int:
        return len(self.names)

    @property
    def guessing(self) -> float:
        return math.log(len(self.names))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets)

    def chosen(self, logits: Tensor) -> Tensor:
        return logits.argmax(-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        return precise(logits).softmax(-1)

    def drawn(self, logits: Tensor, choose: Choose) -> Tensor:
        return choose(logits)

    def text(self, answers: Tensor) -> str:
        """The names with blanks between.

        >>> import torch
        >>> OneOf(["no", "yes"]).text(torch.tensor([1, 0]))
        'yes no'
        """
        return " ".join(self.names[answer] for answer in answers.tolist())


class SetOf(Kind):
    """A set of the names, one bool each; binary cross-entropy, a mean over answers and names."""

    @property
    def output(self) -> Bits:
        return Bits(len(self.names))

    @property
    def number(self) -> int:
        return 2 ** len(self.names)

    @property
    def guessing(self) -> float:
        return math.log(2)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))

    def chosen(self, logits: Tensor) -> Tensor:
        return logits > 0

    def probabilities(self, logits: Tensor) -> Tensor:
        return precise(logits).sigmoid()

    def drawn(self, logits: Tensor, choose: Choose) -> Tensor:
        """Each name is in the set or not, whatever the others."""
        in_or_out = [torch.stack([torch.zeros_like(one), one], -1) for one in logits.unbind(-1)]
        return torch.stack([choose(two) == 1 for two in in_or_out], -1)

    def text(self, answers: Tensor) -> str:
        """The sets in braces with blanks between.

        >>> import torch
        >>> SetOf(["a", "b", "$"]).text(torch.tensor([[True, False, True], [False, False, False]]))
        '{a,$} {}'
        """
        named = [[name for name, inside in zip(self.names, row, strict=True) if inside] for row in answers.tolist()]
        return " ".join("{" + ",".join(names) + "}" for names in named)
