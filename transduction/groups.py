"""The word problem of a finite group: which element is the product of the elements read so far?

Parity is the group of two elements. No model whose depth does not grow with the length computes S5 or A5 exactly,
unless TC0 = NC1 (Barrington 1989; Merrill, Petty and Sabharwal 2024, "The Illusion of State in State-Space Models").
"""

import re
from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor

from transduction.problem import Answering, always, numerals
from transduction.running import Readout, Running

MOST_ELEMENTS = 1000


class GroupWord(Running):
    """The product of a word of group elements, from left to right, at each step or at the end.

    Args:
        group: Zk (whole numbers modulo k), Sk (permutations of k things) or Ak (the even ones); Z2 is parity.
        generators: the elements that occur in a word, by number; None: all. Element 0 is the neutral one.
        readout: `every`: an answer at each step; `last`: one at the end, where a ? stands.

    Raises:
        ValueError: there is no such group, it has more than 1,000 elements, or a generator is not one of them.
    """

    def __init__(self, *, group: str = "Z2", generators: tuple[int, ...] | None = None, readout: Readout = "every"):
        self.group, self.product = group, multiplication_table(group)
        number = len(self.product)
        chosen = list(range(number) if generators is None else generators)
        for generator in chosen:
            if not 0 <= generator < number:
                raise ValueError(f"generators: {generator} is not an element of {group}; allowed: 0 to {number - 1}")
        if len(set(chosen)) != len(chosen) or not chosen:
            raise ValueError(f"generators={chosen}: one element or more, each once")
        self.elements = torch.tensor(chosen)
        names = numerals(number)
        super().__init__([names[element] for element in chosen], names, readout)

    @property
    def title(self) -> str:
        what = "parity of ones" if self.group == "Z2" else f"product of elements of {self.group}"
        some = "" if self.num_letters == len(self.product) else f", of which {self.num_letters} occur"
        return f"{what}{some}, {self.when}"

    def running(self, letters: Tensor) -> Tensor:
        """By doubling: log2(length) rounds."""
        states, reach = self.elements[letters], 1
        while reach < letters.shape[1]:  # states[t] is the product of the last `reach` elements up to t
            states = torch.cat([states[:, :reach], self.product[states[:, :-reach], states[:, reach:]]], 1)
            reach *= 2
        return states

    def oracle(self, inputs: Tensor) -> Tensor:
        """Element by element."""
        state, states = torch.zeros_like(inputs[:, 0]), []
        for letters in inputs.T:
            asked = letters == self.num_letters
            state = torch.where(asked, state, self.product[state, self.elements[letters.where(~asked, 0)]])
            states.append(state)
        return torch.stack(states, 1)

    def shortcuts(self) -> Mapping[str, Answering]:
        return {"one answer": always(0), "last symbol": lambda inputs: self.elements[self.last_letter(inputs)]}


def multiplication_table(group: str) -> Tensor:
    """The products a b of a group's elements, (n, n) int64; element 0 is the neutral one.

    A product of permutations applies the left one first.

    Raises:
        ValueError: there is no such group, or it has more than 1,000 elements.

    >>> multiplication_table("Z3").tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    found = re.fullmatch(r"([ZSA])([1-9][0-9]{0,3})", group)
    if found is None:
        raise ValueError(f"group={group}: no such group; allowed: Zk, Sk and Ak, such as Z2, S3 and A5")
    family, size = found[1], int(found[2])
    if size > (MOST_ELEMENTS if family == "Z" else 6):
        raise ValueError(f"group={group}: at most {MOST_ELEMENTS} elements; allowed: up to Z{MOST_ELEMENTS}, S6 and A6")
    if family == "Z" and size > 1:
        return (torch.arange(size)[:, None] + torch.arange(size)) % size
    elements = [p for p in permutations(range(size if family != "Z" else 1)) if family == "S" or _is_even(p)]
    if len(elements) < 2:
        raise ValueError(f"group={group} has a single element: nothing to compute")
    number = {element: index for index, element in enumerate(elements)}
    return torch.tensor([[number[tuple(b[place] for place in a)] for b in elements] for a in elements])


def _is_even(permutation: tuple[int, ...]) -> bool:
    pairs = [(i, j) for j in range(len(permutation)) for i in range(j)]
    return sum(permutation[i] > permutation[j] for i, j in pairs) % 2 == 0
