"""Problems about the strings of a formal language: membership, next sets, states."""

from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch import Tensor

from transduction.bounded_dyck import BoundedDyck
from transduction.kinds import Kind
from transduction.languages import Regular
from transduction.problem import Answering, Drawn, Problem
from transduction.readouts import NextSet, Recognition, States
from transduction.regular import dfa_of

Readout = Literal["member", "accept", "next"]
READOUTS = {
    "member": lambda language: Recognition(language, at_end=True),
    "accept": lambda language: Recognition(language, at_end=False),
    "next": NextSet,
}


class ByReadout(Problem):
    """The base class: does what the problem of its read-out does.

    Args:
        asked: that problem.
    """

    def __init__(self, asked: Problem):
        self.asked, self.symbols, self.answers = asked, asked.symbols, asked.answers
        self.decisive = asked.decisive

    @property
    def kind(self) -> Kind:
        return self.asked.kind

    @property
    def title(self) -> str:
        return self.asked.title

    def has(self, length: int) -> bool:
        return self.asked.has(length)

    def steps(self, length: int) -> int:
        return self.asked.steps(length)

    def num_uniforms(self, length: int) -> int:
        return self.asked.num_uniforms(length)

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        return self.asked.draw(length, uniforms)

    def due(self, inputs: Tensor) -> Tensor:
        return self.asked.due(inputs)

    def oracle(self, inputs: Tensor) -> Tensor:
        return self.asked.oracle(inputs)

    def shortcuts(self) -> Mapping[str, Answering]:
        return self.asked.shortcuts()

    def parse(self, text: str) -> Tensor:
        return self.asked.parse(text)


class Automaton(ByReadout):
    """A regular language.

    Args:
        regex: a regular expression: letters and digits, ( ) | * + ?; () is the empty string.
        alphabet: letters that strings may have beside those of the expression.
        readout: `member`: is the whole string in the language, at the end; `accept`: is the string so far, at each
            step; `next`: which symbols may follow, at each step; `state`: the state of the smallest automaton, at each
            step.

    Raises:
        ValueError: the expression cannot be read, or there is nothing to ask.
    """

    def __init__(
        self,
        *,
        regex: str = "(ab|ba)*",
        alphabet: str = "",
        readout: Literal["member", "accept", "next", "state"] = "member",
    ):
        language = Regular(dfa_of(regex, alphabet), regex)
        super().__init__(States(language) if readout == "state" else READOUTS[readout](language))


class Dyck(ByReadout):
    """Brackets that match and nest, to a depth: Dyck-(k, m) (Hewitt et al. 2020, "RNNs can generate bounded
    hierarchical languages with optimal memory"). a, b, ... open and A, B, ... close.

    Args:
        kinds: of brackets, k.
        depth: of nesting at most, m.
        readout: `member`, `accept` or `next`, as for `Automaton`.
    """

    def __init__(
        self,
        *,
        kinds: Annotated[int, Ge(1), Le(26)] = 2,
        depth: Annotated[int, Ge(1), Le(1000)] = 3,
        readout: Readout = "next",
    ):
        super().__init__(READOUTS[readout](BoundedDyck(kinds, depth)))
