"""The input and output format of a sequence model: the interface between datasets and models.

A datamodule defines a `Spec`, and a model is built from it. So the vocabulary size, the length and the output width
are defined once, and any dataset works with any model (docs/architecture.md, "How any dataset meets any model").
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Tokens:
    """Inputs are ids 0 .. size-1, shape (batch, time), int64.

    Args:
        size: vocabulary size.
        embedding: how a model embeds an id (seqlab/nn/embedding.py): `learned` is one learned vector per id;
            `fourier` treats ids as integers and uses Fourier features; `number` also their residues, bits and size,
            and a learned vector; `scalar` is one number; `pair` is the number and its position.
        num_waves: number of frequencies of `fourier`.
    """

    size: int
    embedding: Literal["learned", "fourier", "number", "scalar", "pair"] = "learned"
    num_waves: int = 16


@dataclass(frozen=True)
class Vectors:
    """Inputs are real vectors, shape (batch, time, width), float32."""

    width: int


@dataclass(frozen=True)
class Classes:
    """Outputs are logits over `width` classes, for cross-entropy."""

    width: int


@dataclass(frozen=True)
class Bits:
    """Outputs are `width` logits, one per bit, for binary cross-entropy."""

    width: int


@dataclass(frozen=True)
class Values:
    """Outputs are `width` real values, for regression."""

    width: int


@dataclass(frozen=True)
class Spec:
    """Input and output format of a task.

    Args:
        input: what the model reads at each step.
        output: what the model outputs; its head has `output.width` units.
        max_length: maximum number of input steps in training (for a formal language: SOS and `data.max_length`
            symbols). Models whose parameters depend on the length are built for it.
        readout: whether there is a target at `every_step` or only at the `last`.
        sos, eos, pad: ids of the special tokens; None if the task has no such token.

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
