"""Memorisation: a dictionary that never changes, to be learned by heart.

Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures".
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor

from seqlab.randomness import permutation
from transduction.problem import MOST_NAMES, Answering, always
from transduction.running import Running


class Memorise(Running):
    """Keys, and at each step the value of the key that was read. Nothing but the weights can know it.

    Args:
        num_keys: number of keys.
        num_values: number of values; each belongs to equally many keys.
        dictionary: the number of the dictionary; another one is another problem.

    Raises:
        ValueError: the number of keys is not a multiple of the number of values.
    """

    def __init__(
        self,
        *,
        num_keys: Annotated[int, Ge(2), Le(MOST_NAMES)] = 256,
        num_values: Annotated[int, Ge(2), Le(MOST_NAMES)] = 32,
        dictionary: Annotated[int, Ge(0), Lt(2**32)] = 1,
    ):
        if num_keys % num_values:
            raise ValueError(f"num_keys={num_keys} must be a multiple of num_values={num_values}")
        keys, values = [f"k{index}" for index in range(num_keys)], [f"v{index}" for index in range(num_values)]
        super().__init__(keys, values, "every")
        self.values = permutation(dictionary, "memorise", num_values, num_keys) % num_values

    @property
    def title(self) -> str:
        return f"the value of each of {self.num_letters} keys, by heart; {len(self.answers)} values"

    def running(self, letters: Tensor) -> Tensor:
        return self.values[letters]

    def oracle(self, inputs: Tensor) -> Tensor:
        """Key by key, in a dictionary."""
        known = dict(enumerate(self.values.tolist()))
        return torch.tensor([[known[key] for key in string] for string in inputs.tolist()])

    def shortcuts(self) -> Mapping[str, Answering]:
        return {"one answer": always(0), "number of the key": lambda inputs: inputs % len(self.answers)}
