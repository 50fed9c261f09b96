"""What a user types for the adding problem."""

import numpy as np
import torch

from forecasting.numerals import numbers
from forecasting.windows import Windows, single
from seqlab.errors import InputError


def typed(text: str, length: int) -> Windows:
    """Numbers separated by spaces, two of them marked with a star, as a window: 0.3 0.9* 0.1 0.5*

    Args:
        text: what was typed.
        length: the most numbers allowed.

    Raises:
        InputError: a word is not a number or too large, the marks are not exactly two, or there are too many numbers.
    """
    words = text.split()
    marks = np.array([word.endswith("*") for word in words])
    values = numbers([word.removesuffix("*") for word in words])
    if marks.sum() != 2:
        raise InputError(f"{marks.sum()} numbers are marked with *: exactly two are needed")
    if len(values) > length:
        raise InputError(f"{len(values)} numbers are too many: the model was trained on data.length={length}")
    inputs = single(np.stack([values, marks.astype(float)], 1)).unsqueeze(0)
    targets = single(values[marks].sum().reshape(1, 1))
    if not (torch.isfinite(inputs).all() and torch.isfinite(targets)):
        raise InputError(f"{values[np.abs(values).argmax()]:g} is too large: the model was trained on 0 to 1")
    return Windows(inputs, targets, torch.zeros(1, 1, dtype=torch.float64))
