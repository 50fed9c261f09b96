"""What goes into a sequence model and what comes out: the one thing that a dataset and a model agree on.

A datamodule knows its `Spec`; a model is built from it. So the vocabulary, the length and the output width are
written down once, and any dataset meets any model (docs/architecture.md, "How any dataset meets any model").
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Tokens:
    """Inputs are ids 0 .. size-1, shape (batch, time), int64.

    Args:
        size: how many ids there are.
        embedding: how a model reads an id (seqlab/nn/embedding.py): by a `learned` vector each; as integers by
            `fourier` features, or as one number (`scalar`); `pair` is the number and its position.
        num_waves: how many frequencies `fourier` has.
    """

    size: int
    embedding: Literal["learned", "fourier", "scalar", "pair"] = "learned"
    num_waves: int = 16


@dataclass(frozen=True)
class Vectors:
    """Inputs are real vectors, shape (batch, time, width), float32."""

    width: int


@dataclass(frozen=True)
class Classes:
    """Outputs are logits over `width` classes: cross-entropy."""

    width: int


@dataclass(frozen=True)
class Bits:
    """Outputs are `width` logits, one a bit: binary cross-entropy."""

    width: int


@dataclass(frozen=True)
class Values:
    """Outputs are `width` real values: regression."""

    width: int


@dataclass(frozen=True)
class Spec:
    """The shape of a task.

    Args:
        input: what a model reads at each step.
        output: what it writes; a head has `output.width` units.
        max_length: the most input steps that a model is trained on (for a formal language: SOS and
            `data.max_length` symbols). Models whose parameters depend on the length are built for it.
        readout: whether targets stand at `every_step` or only at the `last`.
        sos, eos, pad: ids of the special tokens, None where a task has no such token.

    >>> Spec(Tokens(7), Classes(7), max_length=33, sos=0, eos=1, pad=2).output.width
    7
    """

    input: Tokens | Vectors
    output: Classes | Bits | Values
    max_length: int
    readout: Literal["every_step", "last"] = "every_step"
    sos: int | None = None
    eos: int | None = None
    pad: int | None = None
