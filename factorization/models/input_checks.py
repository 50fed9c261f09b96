"""The Spec that the models of this folder need: N as vectors in, one answer out."""

from seqlab.spec import Bits, Classes, Spec, Vectors


def input_width(model: str, spec: Spec) -> int:
    """The width of the input vectors of a Spec with one answer, bits or a class, after the last vector.

    Raises:
        ValueError: any other Spec.
    """
    if not (isinstance(spec.input, Vectors) and isinstance(spec.output, Bits | Classes) and spec.readout == "last"):
        raise ValueError(
            f"model={model} reads a whole number and writes one answer: it needs data=semiprimes with data.head=bits "
            f"or classes, not {type(spec.input).__name__} in and {type(spec.output).__name__} out at {spec.readout}"
        )
    return spec.input.width
