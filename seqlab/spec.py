"""The input and output format of a sequence model: the interface between datasets and models.

A datamodule defines a `Spec`, and a model is built from it. So the vocabulary size, the length and the output width
are defined once, and any dataset works with any model (docs/architecture.md, "How any dataset meets any model").
"""

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal

from seqlab.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def _refuse_below_one(owner: object, **numbers: int) -> None:
    for name, number in numbers.items():
        if not isinstance(number, Integral) or number < 1:
            raise InputError(f"{type(owner).__name__}: {name}={number}: an integer of at least 1 is needed")


@dataclass(frozen=True)
class Tokens:
    """Inputs are ids 0 .. size-1, shape (batch, time), int64.

    Args:
        size: vocabulary size.
        embedding: how a model embeds an id (seqlab/nn/embedding.py): `learned` is one learned vector per id;
            `fourier` treats ids as integers and uses Fourier features; `number` also their residues, bits and size,
            and a learned vector; `scalar` is one number; `pair` is the number and its position.
        num_waves: number of frequencies of `fourier`.

    Raises:
        InputError: size or num_waves is below 1.
    """

    size: int
    embedding: Literal["learned", "fourier", "number", "scalar", "pair"] = "learned"
    num_waves: int = 16

    def __post_init__(self) -> None:
        _refuse_below_one(self, size=self.size, num_waves=self.num_waves)


@dataclass(frozen=True)
class Vectors:
    """Inputs are real vectors, shape (batch, time, width), float32. InputError for a width below 1."""

    width: int

    def __post_init__(self) -> None:
        _refuse_below_one(self, width=self.width)


@dataclass(frozen=True)
class Classes:
    """Outputs are logits over `width` classes, for cross-entropy. InputError for a width below 1."""

    width: int

    def __post_init__(self) -> None:
        _refuse_below_one(self, width=self.width)


@dataclass(frozen=True)
class Bits:
    """Outputs are `width` logits, one per bit, for binary cross-entropy. InputError for a width below 1."""

    width: int

    def __post_init__(self) -> None:
        _refuse_below_one(self, width=self.width)


@dataclass(frozen=True)
class Values:
    """Outputs are `width` real values, for regression. InputError for a width below 1."""

    width: int

    def __post_init__(self) -> None:
        _refuse_below_one(self, width=self.width)


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

    Raises:
        InputError: max_length is below 1, or a special id is none of the input's.

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

    def __post_init__(self) -> None:
        _refuse_below_one(self, max_length=self.max_length)
        if isinstance(self.input, Tokens):
            for name in ("sos", "eos", "pad"):
                number = getattr(self, name)
                if number is not None and not 0 <= number < self.input.size:
                    raise InputError(f"Spec: {name}={number} is no id of the input; allowed: {self.inputs_in_words}")

    @property
    def inputs_in_words(self) -> str:
        """What a model reads at each step: "ids 0 .. 6", or "vectors of 3 numbers"."""
        if isinstance(self.input, Tokens):
            return f"ids 0 .. {self.input.size - 1}"
        return f"vectors of {self.input.width} numbers"

    def check_inputs(self, inputs: "Tensor") -> None:
        """Raise InputError for inputs that are not (batch, time) ids of this Spec, or not (batch, time, width) floats.

        They may have any number of steps but none: what is too long is for the model to say.
        """
        shape, kind = tuple(inputs.shape), str(inputs.dtype).removeprefix("torch.")
        if 0 in shape:
            raise InputError(f"there is nothing to read; allowed: {self.inputs_in_words}, one or more")
        if isinstance(self.input, Tokens):
            fits = len(shape) == 2 and not (inputs.is_floating_point() or inputs.is_complex())
            expected = "(batch, time) in int64"
        else:
            fits = len(shape) == 3 and shape[2] == self.input.width and inputs.is_floating_point()
            expected = f"(batch, time, {self.input.width}) in float32"
        if not fits:
            raise InputError(f"inputs {shape} in {kind}; expected {expected}: {self.inputs_in_words}")
        if isinstance(self.input, Tokens):
            for number in (int(inputs.min()), int(inputs.max())):
                if not 0 <= number < self.input.size:
                    raise InputError(f"there is no id {number}; allowed: {self.inputs_in_words}")
