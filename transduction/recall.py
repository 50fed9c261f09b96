"""Multi-query associative recall: pairs of a key and a value, then keys again; each is to be answered by its value.

Arora et al. 2024, "Zoology: Measuring and Improving Recall in Efficient Language Models". Here the keys are asked right
after the pairs, in another order, with nothing in between.
"""

import reprlib
from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn.functional import pad

from transduction.problem import MOST_NAMES, Answering, Drawn, Problem, always, below


class Recall(Problem):
    """Pairs of a key and a value, then every key again. The length is the number of pairs.

    Args:
        num_keys: number of keys; each occurs in one pair at most.
        num_values: number of values.
    """

    def __init__(
        self,
        *,
        num_keys: Annotated[int, Ge(2), Le(MOST_NAMES)] = 32,
        num_values: Annotated[int, Ge(2), Le(MOST_NAMES)] = 32,
    ):
        self.num_keys, self.num_values = num_keys, num_values
        self.answers = tuple(f"v{index}" for index in range(num_values))
        self.symbols = (*(f"k{index}" for index in range(num_keys)), *self.answers)

    @property
    def title(self) -> str:
        return f"associative recall, {self.num_keys} keys and {self.num_values} values"

    @property
    def longest(self) -> int:
        return self.num_keys

    def steps(self, length: int) -> int:
        return 3 * length

    def num_uniforms(self, length: int) -> int:
        return self.num_keys + 2 * length

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        """Every set of keys, every value and every order of the questions are equally likely."""
        keys = uniforms[:, : self.num_keys].argsort(1)[:, :length]
        values = below(uniforms[:, self.num_keys : self.num_keys + length], self.num_values)
        order = uniforms[:, self.num_keys + length :].argsort(1)
        pairs = torch.stack([keys, values + self.num_keys], 2).flatten(1)
        inputs = torch.cat([pairs, keys.gather(1, order)], 1)
        targets = torch.cat([torch.zeros_like(pairs), values.gather(1, order)], 1)
        return Drawn(inputs, targets, self.due(inputs))

    def due(self, inputs: Tensor) -> Tensor:
        return (torch.arange(inputs.shape[1]) >= inputs.shape[1] // 3 * 2).expand_as(inputs)

    def oracle(self, inputs: Tensor) -> Tensor:
        """Each key's value by looking for the key."""
        num_pairs = inputs.shape[1] // 3
        pairs = inputs[:, : 2 * num_pairs].view(len(inputs), num_pairs, 2)
        found = (pairs[:, None, :, 0] == inputs[:, :, None]).long().argmax(2)
        return pairs[:, :, 1].gather(1, found) - self.num_keys

    def shortcuts(self) -> Mapping[str, Answering]:
        def first_value(inputs: Tensor) -> Tensor:
            return (inputs[:, 1:2] - self.num_keys).expand_as(inputs)

        return {"one answer": always(0), "a value that was read": first_value}

    def parse(self, text: str) -> Tensor:
        """Parse pairs and questions, such as k1 v5 k2 v3 k2 k1.

        Raises:
            ValueError: a word is not a symbol, or the string is not pairs with different keys, and then these keys.
        """
        inputs = super().parse(text)
        num_pairs, rest = divmod(inputs.shape[1], 3)
        keys, values = inputs[0, : 2 * num_pairs : 2], inputs[0, 1 : 2 * num_pairs : 2]
        asked = inputs[0, 2 * num_pairs :]
        known = sorted(set(keys.tolist()))  # a key that is in two pairs has no one value
        is_pairs = not rest and bool((keys < self.num_keys).all() and (values >= self.num_keys).all())
        if not is_pairs or len(known) < num_pairs or sorted(asked.tolist()) != known:
            raise ValueError(
                f"{reprlib.repr(text)}: first pairs of a key and a value, no key twice, then each of the keys: "
                "k1 v5 k2 v3 k2 k1"
            )
        return inputs


class NoisyRecall(Recall):
    """Recall where other symbols stand between the pairs (Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid
    Architectures"). The length is the number of pairs.

    Args:
        num_keys, num_values: as for `Recall`.
        num_noises: number of other symbols.
        noise: how many of them a string has for each pair.
    """

    def __init__(
        self,
        *,
        num_keys: Annotated[int, Ge(2), Le(MOST_NAMES)] = 32,
        num_values: Annotated[int, Ge(2), Le(MOST_NAMES)] = 32,
        num_noises: Annotated[int, Ge(1), Le(MOST_NAMES)] = 16,
        noise: Annotated[int, Ge(1), Le(100)] = 1,
    ):
        super().__init__(num_keys=num_keys, num_values=num_values)
        self.num_noises, self.noise, self.first_noise = num_noises, noise, num_keys + num_values
        self.symbols = (*self.symbols, *(f"n{index}" for index in range(num_noises)))

    @property
    def title(self) -> str:
        return f"{super().title}, {self.noise} other symbol{'s' * (self.noise > 1)} for each pair among the pairs"

    def steps(self, length: int) -> int:
        return (3 + self.noise) * length

    def num_uniforms(self, length: int) -> int:
        return super().num_uniforms(length) + (1 + 2 * self.noise) * length

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        """Every order of the pairs and the other symbols is equally likely."""
        plain, order, noises = uniforms.split(
            [super().num_uniforms(length), (1 + self.noise) * length, self.noise * length], 1
        )
        drawn = super().draw(length, plain)
        units = order.argsort(1)  # the number of the unit at each place: first the pairs, then the noises
        width = torch.where(units < length, 2, 1)
        start = torch.empty_like(units).scatter(1, units, width.cumsum(1) - width)  # of each unit
        keys, rest = start.split([length, self.noise * length], 1)
        places = torch.cat([torch.stack([keys, keys + 1], 2).flatten(1), rest], 1)
        symbols = torch.cat([drawn.inputs[:, : 2 * length], below(noises, self.num_noises) + self.first_noise], 1)
        inputs = torch.cat([torch.empty_like(symbols).scatter(1, places, symbols), drawn.inputs[:, 2 * length :]], 1)
        targets = pad(drawn.targets[:, 2 * length :], (symbols.shape[1], 0))
        return Drawn(inputs, targets, self.due(inputs))

    def due(self, inputs: Tensor) -> Tensor:
        steps = inputs.shape[1]
        return (torch.arange(steps) >= steps - steps // (3 + self.noise)).expand_as(inputs)

    def oracle(self, inputs: Tensor) -> Tensor:
        """As without the other symbols."""
        plain = self._plain(inputs)
        return pad(super().oracle(plain), (inputs.shape[1] - plain.shape[1], 0))

    def _plain(self, inputs: Tensor) -> Tensor:
        return inputs[inputs < self.first_noise].view(len(inputs), -1)

    def shortcuts(self) -> Mapping[str, Answering]:
        def first_value(inputs: Tensor) -> Tensor:
            return (self._plain(inputs)[:, 1:2] - self.num_keys).expand_as(inputs)

        return {"one answer": always(0), "a value that was read": first_value}

    def parse(self, text: str) -> Tensor:
        """Parse pairs with other symbols between them, and questions, such as n3 k1 v5 k2 v3 n0 k2 k1.

        Raises:
            ValueError: a word is not a symbol, or the string is not pairs, as many other symbols as there have to be,
                and then the keys of the pairs.
        """
        words = text.split()
        super().parse(" ".join(word for word in words if not (word[:1] == "n" and word in self.symbols)) or text)
        inputs = Problem.parse(self, text)
        num_pairs, is_noise = self._plain(inputs).shape[1] // 3, (inputs[0] >= self.first_noise).tolist()
        read = is_noise[: len(is_noise) - num_pairs]
        is_key = (inputs[0] < self.num_keys).tolist()
        torn = any(key and noise for key, noise in zip(is_key, read[1:], strict=False))
        if sum(is_noise) != sum(read) or sum(read) != self.noise * num_pairs or torn:
            raise ValueError(
                f"{reprlib.repr(text)}: {self.noise} of n0 to n{self.num_noises - 1} for each pair, none inside a pair"
            )
        return inputs
