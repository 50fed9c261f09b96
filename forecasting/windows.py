"""Splits a series by time into windows to read and horizons to forecast, scaled by statistics of the training part."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# n windows, T steps read, F features, H steps forecast (or targets of one step)

PROPORTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}


class Windows(NamedTuple):
    """Windows of a series: scaled inputs, scaled targets, and the level of each window.

    A value is level + s * scaled value, where s is the standard deviation of the training part.

    inputs: (n, T, F) float32.
    targets: (n, H) float32.
    level: (n, 1) float64, the value that scales to 0.
    """

    inputs: Tensor
    targets: Tensor
    level: Tensor


class Scale(NamedTuple):
    """Mean and standard deviation of the training part, both in the unit of the series."""

    mean: float
    deviation: float


def split(length: int, window: int, horizon: int) -> dict[str, range]:
    """The steps to forecast in each part: 70% for training, then 10% for validation, then 20% for test.

    A window may reach back into the previous part, so the first forecast of a part is for its first step. No horizon
    reaches into the next part. Training starts after its first whole window.

    >>> split(100, window=10, horizon=5)
    {'train': range(10, 70), 'val': range(70, 80), 'test': range(80, 100)}

    Raises:
        ValueError: a part is shorter than one horizon, or training is shorter than a window and a horizon.
    """
    start_val = round(length * PROPORTIONS["train"])
    start_test = round(length * (PROPORTIONS["train"] + PROPORTIONS["val"]))
    parts = {"train": range(window, start_val), "val": range(start_val, start_test), "test": range(start_test, length)}
    for name, part in parts.items():
        if len(part) < horizon:
            room = "a window and a horizon" if name == "train" else "a horizon"
            raise ValueError(
                f"a series of {length} steps is too short: its {name} part ({PROPORTIONS[name]:.0%}) has no room for "
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
    """Mean and standard deviation of the training part (length,).

    Raises:
        ValueError: the values are constant, or their variance overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scale = Scale(float(values.mean()), float(values.std()))
    if not np.isfinite(scale.deviation):
        raise ValueError(
            f"the training part has values as large as {np.abs(values).max():.3g}, whose squares overflow: give the "
            "series in a larger unit"
        )
    if scale.deviation == 0:
        raise ValueError(f"the training part is {values[0]:g} throughout: there is nothing to scale by or to learn")
    return scale


def windows(values: np.ndarray, starts: np.ndarray, window: int, horizon: int, scale: Scale, center: bool) -> Windows:
    """Scaled windows of a series (length,), with F = 1.

    Args:
        values: the series.
        starts: (n,) first forecast steps.
        window, horizon: number of steps to read and to forecast.
        scale: mean and standard deviation of the training part.
        center: subtract a window's last value (NLinear, Zeng et al. 2023) instead of the mean. Then windows keep their
            range even if a trend leaves the range of the training part.
    """
    read = values[starts[:, None] + np.arange(-window, 0)]
    future = values[starts[:, None] + np.arange(horizon)]
    level = read[:, -1:] if center else np.full((len(starts), 1), scale.mean)
    inputs, targets = ((part - level) / scale.deviation for part in (read, future))
    return Windows(single(inputs)[..., None], single(targets), torch.from_numpy(level))


def single(values: np.ndarray) -> Tensor:
    """The values as a float32 tensor."""
    return torch.from_numpy(values).float()


def seasonal_error(values: np.ndarray, season: int) -> float:
    """The mean absolute error of the seasonal naive forecast on the training part, the denominator of MASE.

    (Hyndman & Koehler 2006.)
    """
    return float(np.abs(values[season:] - values[:-season]).mean())


def main_season(seasons: Mapping[str, int]) -> int:
    """The longest season in steps, or 1 if there is none."""
    return max(seasons.values(), default=1)
