"""Intervals of errors at successive origins, whose horizons overlap."""

import numpy as np
from torch import Tensor

from seqlab.randomness import derived_seed

REPEATS = 1999


def block_length(num_origins: int, horizon: int) -> int:
    """Origins in a block: the horizon, beyond which two forecasts share no step, or n^(1/3) if that is more.

    >>> block_length(52, horizon=11), block_length(1000, horizon=1)
    (11, 10)
    """
    return min(num_origins, max(horizon, round(num_origins ** (1 / 3))))


def block_bootstrap(errors: Tensor, horizon: int) -> tuple[float, float] | None:
    """The 95% interval of a mean error by the circular block bootstrap (Politis & Romano 1992), percentiles.

    Whole blocks of successive origins are drawn, REPEATS times, so that what neighbours have in common stays together.
    With few blocks it is rough, and too narrow rather than too wide. A function of its arguments alone.

    Args:
        errors: (n,) the error at each origin, in time order.
        horizon: number of steps per forecast.

    Returns:
        The two bounds; None with fewer than two whole blocks.
    """
    length = block_length(len(errors), horizon)
    if len(errors) < 2 * length:
        return None
    values = errors.double().numpy()
    generator = np.random.default_rng(derived_seed("block bootstrap", len(values), horizon))
    starts = generator.integers(len(values), size=(REPEATS, -(-len(values) // length)))
    rows = (starts[:, :, None] + np.arange(length)).reshape(REPEATS, -1)[:, : len(values)] % len(values)
    low, high = np.quantile(values[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


def mae_interval(forecasts: Tensor, truth: Tensor) -> dict[str, float]:
    """`mae_low` and `mae_high` of forecasts (n, H) at successive origins; empty with fewer than two blocks of them.

    >>> import torch
    >>> mae_interval(torch.zeros(8, 2), torch.ones(8, 2))
    {'mae_low': 1.0, 'mae_high': 1.0}
    """
    errors = (forecasts.cpu().double() - truth.cpu().double()).abs().mean(1)
    interval = block_bootstrap(errors, truth.shape[1])
    return {} if interval is None else {"mae_low": interval[0], "mae_high": interval[1]}
