"""About a hundred real integer sequences with their A-numbers, stored in named.json.

`python -m sequences.named` writes the file. Models never train on these sequences, so they measure generalization.
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

    a_number: such as A000045.
    name: a short name for tables.
    terms: the leading terms in 0..255, 9 to 24 of them.
    in_span: whether some rule of the generator produces the first nine terms.
    """

    a_number: str
    name: str
    terms: tuple[int, ...]
    in_span: bool


def named() -> list[Named]:
    """All sequences of named.json, in file order.

    >>> named()[0].name
    'all ones'
    """
    rows = json.loads(files("sequences").joinpath("named.json").read_text(encoding="utf-8"))
    return [Named(row["a_number"], row["name"], tuple(row["terms"]), row["in_span"]) for row in rows]


def compute() -> list[Named]:
    """The sequences of named.json, computed from their definitions.

    Raises:
        ValueError: a sequence has fewer than nine leading terms in 0..255.
    """
    found = []
    for form in FORMS:
        terms = tuple(takewhile(lambda term: 0 <= term <= 255, islice(form.terms(), MOST_TERMS)))
        if len(terms) < FEWEST_TERMS:
            raise ValueError(f"{form.a_number} has {len(terms)} leading terms in 0..255, needs {FEWEST_TERMS}")
        found.append(Named(form.a_number, form.name, terms, bool(generated(torch.tensor([terms[:FEWEST_TERMS]])))))
    return found


def windows(sequences: Sequence[Named], length: int, *, first_only: bool = False) -> Tensor:
    """All windows of `length` consecutive terms of each sequence, or only the first of each: (n, length) int64."""
    rows = [torch.tensor(sequence.terms).unfold(0, length, 1) for sequence in sequences]
    return torch.cat([row[:1] if first_only else row for row in rows])


def window_accuracy(
    predict: Callable[[Tensor], Tensor], sequences: Sequence[Named], length: int, *, first_only: bool = False
) -> Proportion:
    """The accuracy of predicting the last term of each window from those before it. A sequence's windows cluster.

    Args:
        predict: terms (n, length - 1) -> next terms (n,).
        sequences, length, first_only: as in `windows`.

    >>> from sequences.solvers import last_difference
    >>> squares = Named("A000290", "squares", (0, 1, 4, 9, 16), True)
    >>> window_accuracy(last_difference, [squares, named()[0]], 3)[:2]
    (22, 25)
    """
    counts = torch.tensor([1 if first_only else len(sequence.terms) - length + 1 for sequence in sequences])
    rows = windows(sequences, length, first_only=first_only)
    return Proportion.clustered(
        predict(rows[:, :-1]) == rows[:, -1], torch.arange(len(sequences)).repeat_interleave(counts)
    )


def text(sequences: Sequence[Named]) -> str:
    """The content of named.json, one sequence per line."""
    return "[\n" + ",\n".join(json.dumps(sequence._asdict()) for sequence in sequences) + "\n]\n"


if __name__ == "__main__":
    Path(__file__).with_name("named.json").write_text(text(compute()), encoding="utf-8")
