"""Numbers as people write them. Python's float also takes 1_000, nan, and the digits of every script."""

import math
import re
import reprlib
from collections.abc import Sequence

import numpy as np

from seqlab.errors import InputError

NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
GROUPED = re.compile(r"[+-]?[0-9]+([.,'_ \u00a0\u202f][0-9]+)+")


def number(text: str) -> float:
    """The finite number that a text is.

    >>> number("-1.5e3")
    -1500.0

    Raises:
        ValueError: for any other text; the message says what it is, to be put behind the name of what it stands for.
    """
    if NUMERAL.fullmatch(text) is None:
        cure = "; write it without separators of thousands and with a decimal point, as 1234.5"
        raise ValueError(f"{reprlib.repr(text)}, no number{cure if GROUPED.fullmatch(text) else ''}")
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{reprlib.repr(text)}, too large for a number of 64 bits")
    return value


def numbers(words: Sequence[str]) -> np.ndarray:
    """The words of a prompt as finite numbers, (words,) float64.

    Raises:
        InputError: for a word that is none.
    """
    values = []
    for word in words:
        try:
            values.append(number(word))
        except ValueError:
            what = reprlib.repr(word)
            raise InputError(f"{what} is no number; allowed: finite numbers with blanks between") from None
    return np.array(values)
