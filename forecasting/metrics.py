"""Error metrics of forecasts, over all steps of the horizon and at each step."""

import torch
from torch import Tensor

from seqlab.metrics import Totals


class ForecastMetrics(Totals):
    """MAE, RMSE, MSE and MASE over all forecast steps, and the MAE at each step.

    MASE is the MAE divided by the MAE of the seasonal naive forecast on the training part (Hyndman & Koehler 2006).

    Args:
        horizon: number of steps per forecast.
        naive_error: the MAE of the seasonal naive forecast, in the unit of the series; None: no MASE.

    >>> metrics = ForecastMetrics(horizon=2, naive_error=4.0)
    >>> metrics.update(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 5.0]]))
    >>> {name: round(value, 2) for name, value in metrics.compute().items()}
    {'mae': 2.0, 'rmse': 2.24, 'mase': 0.5, 'mse': 5.0, 'mae_by_horizon/1': 1.0, 'mae_by_horizon/2': 3.0}
    """

    absolute: Tensor
    squared: Tensor
    count: Tensor

    def __init__(self, *, horizon: int, naive_error: float | None = None):
        super().__init__()
        self.naive_error = naive_error
        for name in ("absolute", "squared"):
            self.add_state(name, torch.zeros(horizon, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, forecasts: Tensor, truth: Tensor) -> None:
        """Add forecasts and true values, (n, horizon) each, in the unit of the series."""
        if forecasts.shape != truth.shape:  # would be broadcast
            raise ValueError(f"forecasts {tuple(forecasts.shape)} of a truth {tuple(truth.shape)}")
        errors = forecasts.cpu().double() - truth.cpu().double()
        self.absolute += errors.abs().sum(0)
        self.squared += errors.square().sum(0)
        self.count += len(errors)

    def compute(self) -> dict[str, float]:
        """All results, by name."""
        by_horizon = self.absolute / self.count
        mae, mse = float(by_horizon.mean()), float((self.squared / self.count).mean())
        results = {"mae": mae, "rmse": mse**0.5}
        if self.naive_error:
            results["mase"] = mae / self.naive_error
        results["mse"] = mse
        return results | {f"mae_by_horizon/{h}": float(value) for h, value in enumerate(by_horizon, start=1)}
