"""A series as windows to read and horizons to forecast, split by time, scaled by what the training part says."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# n windows, T steps read, F features, H steps forecast (or targets of one step)

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


class Windows(NamedTuple):
    """What is read, (n, T, F) float32, and what is to be told, (n, H) float32, both scaled; value = level + s scaled.

    level: (n, 1) float64, the value that is 0 in the scale of a window.
    """

    inputs: Tensor
    targets: Tensor
    level: Tensor


class Scale(NamedTuple):
    """Mean and standard deviation of the training part, both in the unit of the series."""

    mean: float
    deviation: float


def split(length: int, window: int, horizon: int) -> dict[str, range]:
    """The steps whose values each part forecasts: 70% for training, then 10% for validation, then 20% for test.

    A window may reach back into the part before, so that the first forecast of a part is of its first step; no
    horizon reaches into the part after. Training forecasts nothing before its first whole window.

    >>> split(100, window=10, horizon=5)
    {'train': range(10, 70), 'val': range(70, 80), 'test': range(80, 100)}

    Raises:
        ValueError: when a part has no room for one horizon, or training none for a window before it.
    """
    start_val = round(length * SHARES["train"])
    start_test = round(length * (SHARES["train"] + SHARES["val"]))
    parts = {"train": range(window, start_val), "val": range(start_val, start_test), "test": range(start_test, length)}
    for name, part in parts.items():
        if len(part) < horizon:
            room = "a window and a horizon" if name == "train" else "a horizon"
            raise ValueError(
                f"a series of {length} steps is too short: its {name} part ({SHARES[name]:.0%}) has no room for "
                f"{room} (data.window={window}, data.horizon={horizon})"
            )
    return parts


def origins(part: range, horizon: int) -> np.ndarray:
    """The first forecast step of every window of a part.

    >>> origins(range(7, 12), horizon=3)
    array([7, 8, 9])
    """
    return np.arange(part.start, part.stop - horizon + 1)


def fit_scale(values: np.ndarray) -> Scale:
    """From the training part (length,).

    Raises:
        ValueError: for a series that never changes there, or whose variance no float holds.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scale = Scale(float(values.mean()), float(values.std()))
    if not np.isfinite(scale.deviation):
        raise ValueError(
            f"the training part has values as large as {np.abs(values).max():.3g}, whose squares are beyond the "
            "largest float: give the series in a larger unit"
        )
    if scale.deviation == 0:
        raise ValueError(f"the training part is {values[0]:g} throughout: there is nothing to scale by or to learn")
    return scale


def windows(values: np.ndarray, starts: np.ndarray, window: int, horizon: int, scale: Scale, center: bool) -> Windows:
    """Windows of a series (length,), F = 1.

    Args:
        starts: (n,) first forecast steps.
        center: measure a window from its last value (NLinear, Zeng et al. 2023), instead of from the mean: where a
            trend leaves the range of the training part, the windows stay in theirs.
    """
    read = values[starts[:, None] + np.arange(-window, 0)]
    told = values[starts[:, None] + np.arange(horizon)]
    level = read[:, -1:] if center else np.full((len(starts), 1), scale.mean)
    inputs, targets = ((part - level) / scale.deviation for part in (read, told))
    return Windows(single(inputs)[..., None], single(targets), torch.from_numpy(level))


def single(values: np.ndarray) -> Tensor:
    """As a float32 tensor."""
    return torch.from_numpy(values).float()


def seasonal_error(values: np.ndarray, season: int) -> float:
    """The mean absolute error of the seasonal naive forecast inside the training part: the unit of MASE.

    (Hyndman & Koehler 2006.)
    """
    return float(np.abs(values[season:] - values[:-season]).mean())


def main_season(seasons: Mapping[str, int]) -> int:
    """The longest season; 1 where there is none."""
    return max(seasons.values(), default=1)
