"""Errors of forecasts against a hand computation, and as sums over batches."""

import pytest
import torch

from forecasting.metrics import ForecastMetrics

FORECASTS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
TRUTH = torch.tensor([[2.0, 2.0, 1.0], [1.0, 4.0, 8.0]])


def test_by_hand():
    metrics = ForecastMetrics(horizon=3, naive_error=5.0)
    metrics.update(FORECASTS, TRUTH)
    results = metrics.compute()
    assert results == pytest.approx(
        {
            "mae": 10 / 6,
            "mse": 30 / 6,
            "rmse": 5**0.5,
            "mase": 10 / 6 / 5,
            "mae_by_horizon/1": 2.0,
            "mae_by_horizon/2": 0.0,
            "mae_by_horizon/3": 3.0,
        }
    )


def test_batches_of_any_size_give_the_same():
    whole, parts = ForecastMetrics(horizon=3, naive_error=5.0), ForecastMetrics(horizon=3, naive_error=5.0)
    generator = torch.Generator().manual_seed(1)
    forecasts, truth = torch.randn(2, 50, 3, generator=generator)
    whole.update(forecasts, truth)
    for start, end in ((0, 1), (1, 20), (20, 50)):
        parts.update(forecasts[start:end], truth[start:end])
    assert parts.compute() == pytest.approx(whole.compute())


def test_without_a_naive_error_there_is_no_mase():
    metrics = ForecastMetrics(horizon=3)
    metrics.update(FORECASTS, TRUTH)
    assert "mase" not in metrics.compute()
