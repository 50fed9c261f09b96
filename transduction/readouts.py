"""What can be asked of a string of a language: is it in, what may follow, in which state is the automaton."""

import reprlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqlab.randomness import uniforms as random_uniforms
from transduction.kinds import Kind, SetOf
from transduction.languages import END, After, Language, Regular
from transduction.neighbours import Neighbours
from transduction.problem import ASK, Answering, Drawn, Problem, asked_at_the_end, below, numerals

NUM_COUNTED = 256  # strings from which the shortcuts know what is usual
TRIES = 4  # strings with the neighbours of the language's, of which one is to be outside


class Asked(Problem):
    """The base class: letters, and an answer at each step, or one at the end, where a ? stands.

    Args:
        language: of whose strings something is asked.
        at_end: whether there is one answer, at the end.
    """

    def __init__(self, language: Language, *, at_end: bool):
        self.language, self.at_end, self.num_letters = language, at_end, len(language.letters)
        self.symbols = (*language.letters, *([ASK] if at_end else []))

    def steps(self, length: int) -> int:
        return length + self.at_end

    def due(self, inputs: Tensor) -> Tensor:
        mask = torch.full_like(inputs, not self.at_end, dtype=torch.bool)
        mask[:, -1] = True
        return mask

    def shortcuts(self) -> Mapping[str, Answering]:
        """What is most often right in other strings of the same length: on the whole, and after each letter."""
        counted = cache(self._counted)

        def frequent(inputs: Tensor, letter_of: Callable[[Tensor], Tensor]) -> Tensor:
            strings, codes = counted(inputs.shape[1])
            letters, due = letter_of(strings), self.due(strings)
            answers = torch.zeros(self.num_letters, dtype=torch.int64)
            for letter in range(self.num_letters):
                if len(found := codes[due & (letters == letter)]):
                    answers[letter] = found.mode().values
            return self._decoded(answers[letter_of(inputs)])

        return {
            "most frequent": lambda inputs: frequent(inputs, torch.zeros_like),
            "by the last symbol": lambda inputs: frequent(inputs, self._last_letter),
        }

    def _last_letter(self, inputs: Tensor) -> Tensor:
        return inputs.where(inputs < self.num_letters, inputs.roll(1, 1)).clamp(max=self.num_letters - 1)

    def _counted(self, steps: int) -> tuple[Tensor, Tensor]:
        """Other strings of as many steps, and their answers as numbers, each (256, steps)."""
        length = steps - self.at_end
        numbers = random_uniforms(0, f"shortcut {length}", 0, NUM_COUNTED, self.num_uniforms(length))
        drawn = self.draw(length, numbers)
        return drawn.inputs, self._coded(drawn.targets)

    def _coded(self, answers: Tensor) -> Tensor:
        return answers

    def _decoded(self, codes: Tensor) -> Tensor:
        return codes

    def _read(self, strings: Tensor) -> list[list[After]]:
        """What the language says of each string; of equal ones once."""
        rows = [tuple(row) for row in strings.tolist()]
        known = {row: self.language.read(row) for row in set(rows)}
        return [known[row] for row in rows]

    def parse(self, text: str) -> Tensor:
        """Parse a string of letters; the ? is added.

        Raises:
            ValueError: a word is not a symbol, or there is no letter.
        """
        inputs = super().parse(text)
        return asked_at_the_end(inputs, self.num_letters) if self.at_end else inputs


class Recognition(Asked):
    """Is the string in the language? Half of the strings are, at each length.

    Of the others, a third come from a string of the language by one change, where that leads out of it: another letter
    at one place, or two places exchanged. A third begin, go on from letter to letter and end as strings of the language
    do, where one of four such is outside: against a^n b^n, other numbers of a's before b's. The rest are uniform over
    the strings of this length outside the language.

    Args:
        language: the language.
        at_end: whether the one answer is due at the end, at a ?; otherwise there is one at each step, for the string
            up to there.
    """

    def __init__(self, language: Language, *, at_end: bool):
        super().__init__(language, at_end=at_end)
        self.answers = ("no", "yes")
        self.neighbours = cache(self._neighbours)  # by length

    @property
    def title(self) -> str:
        return f"membership of {self.language.name}, {'at the end' if self.at_end else 'of the string so far'}"

    def has(self, length: int) -> bool:
        return self.language.has_members(length) and self.language.has_others(length)

    def num_uniforms(self, length: int) -> int:
        return 4 + sum(self._parts(length))

    def _parts(self, length: int) -> list[int]:
        """The numbers of uniforms of a member, of a string whose neighbours fit, and of any other string."""
        return [self.language.num_uniforms(length), TRIES * length, self.language.num_uniforms_others(length)]

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        """A coin decides, so both answers are equally likely at the end."""
        inside, kind = uniforms[:, 0] < 0.5, uniforms[:, 1]
        numbers, fitting, rest = uniforms[:, 4:].split(self._parts(length), 1)
        members, others = self.language.members(length, numbers), self.language.others(length, rest)
        changed = torch.where(
            (kind < 1 / 6)[:, None],
            replaced(members, uniforms[:, 2:4], self.num_letters),
            exchanged(members, uniforms[:, 2:4]),
        )
        out = torch.where(((kind < 1 / 3) & ~self.language.contains(changed))[:, None], changed, others)
        if (rows := (~inside & (kind >= 2 / 3)).nonzero()[:, 0]).numel():
            out[rows] = self._fitting(length, fitting[rows], out[rows])
        strings = torch.where(inside[:, None], members, out)
        if not self.at_end:
            return Drawn(
                strings, self.language.following(strings)[:, :, -1].long(), torch.ones_like(strings, dtype=torch.bool)
            )
        inputs = pad(strings, (0, 1), value=self.num_letters)
        return Drawn(inputs, inside.long()[:, None].expand_as(inputs).clone(), self.due(inputs))

    def _fitting(self, length: int, uniforms: Tensor, others: Tensor) -> Tensor:
        """The first of TRIES strings whose neighbours fit that is outside; where none is, the other string."""
        tries = self.neighbours(length).draw(uniforms.reshape(-1, length))
        outside = ~self.language.contains(tries).view(-1, TRIES)
        first = tries.view(-1, TRIES, length)[torch.arange(len(others)), outside.byte().argmax(1)]
        return torch.where(outside.any(1)[:, None], first, others)

    def _neighbours(self, length: int) -> Neighbours:
        numbers = random_uniforms(0, f"neighbours {length}", 0, NUM_COUNTED, self.language.num_uniforms(length))
        return Neighbours(self.language.members(length, numbers), self.num_letters)

    def shortcuts(self) -> Mapping[str, Answering]:
        """Also: whether the string begins, goes on and ends as strings of the language do. No count, no state."""

        def by_neighbours(inputs: Tensor) -> Tensor:
            strings = inputs[:, :-1] if self.at_end else inputs
            found = self.neighbours(strings.shape[1]).fit(strings).long()
            return pad(found[:, -1:], (strings.shape[1], 0)) if self.at_end else found

        return {**super().shortcuts(), "by neighbours": by_neighbours}

    def oracle(self, inputs: Tensor) -> Tensor:
        """Letter by letter, in plain Python."""
        strings = inputs[:, :-1] if self.at_end else inputs
        answers = torch.tensor([[after.inside for after in row] for row in self._read(strings)]).long()
        return torch.cat([answers, answers[:, -1:]], 1) if self.at_end else answers


def replaced(strings: Tensor, uniforms: Tensor, num_letters: int) -> Tensor:
    """Another letter at one place: strings (n, length), uniforms (n, 2) for the place and the letter."""
    place = below(uniforms[:, :1], strings.shape[1])
    other = strings.gather(1, place) + 1 + below(uniforms[:, 1:], max(num_letters - 1, 1))
    return strings.scatter(1, place, other % num_letters)


def exchanged(strings: Tensor, uniforms: Tensor) -> Tensor:
    """Two places exchanged, which may be one: strings (n, length), uniforms (n, 2)."""
    places = below(uniforms, strings.shape[1])
    return strings.scatter(1, places, strings.gather(1, places.flip(1)))


class NextSet(Asked):
    """Which symbols may follow, and may the string end? The answer at each step is the set of all that may.

    Strings are uniform over those of a length in the language. A string is right if every set is (Gers and Schmidhuber
    2001, "LSTM Recurrent Networks Learn Simple Context-Free and Context-Sensitive Languages"; Bhattamishra, Ahuja and
    Goyal 2020, "On the Ability and Limitations of Transformers to Recognize Formal Languages").

    Args:
        language: the language.
    """

    decisive: Literal["last", "whole"] = "whole"  # the last set is often the same in all strings

    def __init__(self, language: Language):
        super().__init__(language, at_end=False)
        self.answers = (*language.letters, END)

    @property
    def kind(self) -> Kind:
        return SetOf(self.answers)

    @property
    def title(self) -> str:
        return f"the symbols that may follow in {self.language.name}, at each step"

    def has(self, length: int) -> bool:
        return self.language.has_members(length)

    def num_uniforms(self, length: int) -> int:
        return self.language.num_uniforms(length)

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        strings = self.language.members(length, uniforms)
        return Drawn(strings, self.language.following(strings), self.due(strings))

    def oracle(self, inputs: Tensor) -> Tensor:
        """Letter by letter, in plain Python."""
        sets = [[after.following for after in row] for row in self._read(inputs)]
        place = {one: index for index, one in enumerate(set().union(*sets))}
        rows = torch.tensor([[symbol in one for symbol in range(len(self.answers))] for one in place])
        return rows[torch.tensor([[place[one] for one in row] for row in sets])]

    def _coded(self, answers: Tensor) -> Tensor:
        return (answers.long() << torch.arange(len(self.answers))).sum(2)

    def _decoded(self, codes: Tensor) -> Tensor:
        return (codes[..., None] >> torch.arange(len(self.answers)) & 1).bool()


class States(Asked):
    """In which state is the automaton? Strings are uniform over those of a length that a string of the language can
    begin with, so no state is one from which nothing is reached.

    Args:
        language: the language with its automaton.

    Raises:
        ValueError: there is one state alone from which a string of the language is reached.
    """

    def __init__(self, language: Regular):
        super().__init__(language, at_end=False)
        self.regular = language
        live = [state for state, alive in enumerate(language.dfa.live) if alive]
        if len(live) < 2:
            raise ValueError(f"{language.name} has a single state before a string is lost: nothing to compute")
        self.number = torch.tensor(
            [live.index(state) if state in live else -1 for state in range(len(language.dfa.live))]
        )
        self.answers = numerals(len(live))

    @property
    def title(self) -> str:
        return f"the state of the automaton of {self.language.name}, at each step"

    def has(self, length: int) -> bool:
        return self.regular.alive.exist(length)

    def num_uniforms(self, length: int) -> int:
        return length

    def draw(self, length: int, uniforms: Tensor) -> Drawn:
        strings, states = self.regular.alive.draw(length, uniforms)
        return Drawn(strings, self.number[states], self.due(strings))

    def parse(self, text: str) -> Tensor:
        """Parse the beginning of a string of the language.

        Raises:
            ValueError: a word is not a symbol, or no string of the language begins so.
        """
        inputs = super().parse(text)
        if (self.oracle(inputs) < 0).any():
            raise ValueError(f"{reprlib.repr(text)}: no string of {self.language.name} begins so")
        return inputs

    def oracle(self, inputs: Tensor) -> Tensor:
        """Letter by letter, in plain Python. -1 once a string is lost."""
        number = self.number.tolist()
        return torch.tensor([[number[state] for state in self.regular.read_states(row)] for row in inputs.tolist()])
