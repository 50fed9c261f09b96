"""Strict parsing of decimal numbers. Python's float also accepts 1_000, nan, and digits of every script."""

import math
import re
import reprlib
from collections.abc import Iterable, Sequence

import numpy as np

from seqlab.errors import InputError

NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
GROUPED = re.compile(r"[+-]?[0-9]+([.,'_ \u00a0\u202f][0-9]+)+")


def number(text: str) -> float:
    """Parse a finite decimal number.

    >>> number("-1.5e3")
    -1500.0

    Raises:
        ValueError: the text is anything else. The message completes "NAME is ...".
    """
    if NUMERAL.fullmatch(text) is None:
        cure = "; write it without thousands separators and with a decimal point, such as 1234.5"
        raise ValueError(f"{reprlib.repr(text)}, not a number{cure if GROUPED.fullmatch(text) else ''}")
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{reprlib.repr(text)}, too large for a 64-bit float")
    return value


def numbers(words: Sequence[str]) -> np.ndarray:
    """Parse the words of a prompt as finite numbers, (words,) float64.

    Raises:
        InputError: a word is not a finite number.
    """
    values = []
    for word in words:
        try:
            values.append(number(word))
        except ValueError:
            what = reprlib.repr(word)
            raise InputError(f"{what} is not a number; allowed: finite numbers separated by spaces") from None
    return np.array(values)


def written(values: Iterable[float]) -> str:
    """Values with blanks between, five digits each.

    >>> written([1234.567, 0.5])
    '1234.6 0.5'
    """
    return " ".join(f"{value:.5g}" for value in values)
