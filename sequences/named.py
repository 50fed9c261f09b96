"""About a hundred real integer sequences with their A-numbers, frozen in named.json.

`python -m sequences.named` writes the file. Never trained on: what a model makes of them is what it learnt elsewhere.
"""

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.proportion import Proportion
from sequences.bayes import generated
from sequences.named_forms import FORMS

FEWEST_TERMS, MOST_TERMS = 9, 24


class Named(NamedTuple):
    """A sequence of the OEIS.

    a_number: as in A000045.
    name: short, for tables.
    terms: the leading terms that stay in 0..255, 9 to 24 of them.
    in_span: whether some rule of the generator makes the first nine terms.
    """

    a_number: str
    name: str
    terms: tuple[int, ...]
    in_span: bool


def named() -> list[Named]:
    """All of them, in the order of the file.

    >>> named()[0].name
    'all ones'
    """
    rows = json.loads(files("sequences").joinpath("named.json").read_text(encoding="utf-8"))
    return [Named(row["a_number"], row["name"], tuple(row["terms"]), row["in_span"]) for row in rows]


def compute() -> list[Named]:
    """What named.json should hold, from the closed forms."""
    found = []
    for form in FORMS:
        terms = tuple(takewhile(lambda term: 0 <= term <= 255, islice(form.terms(), MOST_TERMS)))
        if len(terms) < FEWEST_TERMS:
            raise ValueError(f"{form.a_number} has {len(terms)} leading terms in 0..255, needs {FEWEST_TERMS}")
        found.append(Named(form.a_number, form.name, terms, bool(generated(torch.tensor([terms[:FEWEST_TERMS]])))))
    return found


def windows(sequences: Sequence[Named], length: int, *, first_only: bool = False) -> Tensor:
    """All runs of `length` successive terms of each sequence, or the first of each: (n, length) int64."""
    rows = [torch.tensor(sequence.terms).unfold(0, length, 1) for sequence in sequences]
    return torch.cat([row[:1] if first_only else row for row in rows])


def solver_accuracy(solver: Callable[[Tensor], Tensor], rows: Tensor) -> Proportion:
    """How often a solver gives the last column of rows (n, k) from the columns before it.

    >>> from sequences.solvers import copy_last
    >>> solver_accuracy(copy_last, torch.tensor([[1, 2, 2], [1, 2, 3]]))
    Proportion(hits=1, trials=2)
    """
    return Proportion.of(solver(rows[:, :-1]) == rows[:, -1])


def text(sequences: Sequence[Named]) -> str:
    """The content of named.json: one sequence a line."""
    return "[\n" + ",\n".join(json.dumps(sequence._asdict()) for sequence in sequences) + "\n]\n"


if __name__ == "__main__":
    Path(__file__).with_name("named.json").write_text(text(compute()), encoding="utf-8")
