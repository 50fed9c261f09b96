"""Baselines against plain loops and against statsmodels' own forecasts."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from forecasting.baselines import (
    ORDERS,
    PENALTIES,
    arima,
    autoregression,
    exponential_smoothing,
    forecasts,
    har,
    orders_up_to,
    ridge,
    seasonal_naive,
)
from forecasting.series import sunspots
from forecasting.windows import origins, split

SEASON, HORIZON = 6, 8  # a horizon beyond one season


@pytest.fixture(scope="module")
def values():
    """A trend, a season and noise that remembers."""
    rng = np.random.default_rng(1)
    steps, noise = np.arange(200), rng.normal(0, 0.3, 200)
    for step in range(1, 200):
        noise[step] += 0.6 * noise[step - 1]
    return 0.05 * steps + 2 * np.sin(2 * np.pi * steps / SEASON) + noise


def test_seasonal_naive_is_the_last_known_season_again(values):
    starts = np.array([30, 77])
    expected = []
    for start in starts:
        known = list(values[:start])
        for _ in range(HORIZON):
            known.append(known[-SEASON])
        expected.append(known[start:])
    np.testing.assert_allclose(seasonal_naive(values, starts, HORIZON, SEASON), expected)


def test_exponential_smoothing_goes_on_as_statsmodels_does(values):
    """Its own smoothing of all values up to an origin, with the parameters and first states of the training part."""
    train = 140
    made = exponential_smoothing(values, train, np.array([140, 141, 165]), HORIZON, SEASON)
    settings = {"trend": "add", "damped_trend": True, "seasonal": "add", "seasonal_periods": SEASON}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = ETSModel(values[:train], **settings).fit(disp=False, maxiter=200)
        np.testing.assert_allclose(made[0], fitted.forecast(HORIZON), rtol=1e-6)
        for row, start in ((1, 141), (2, 165)):
            again = ETSModel(values[:start], **settings).smooth(fitted.params)
            np.testing.assert_allclose(made[row], again.forecast(HORIZON), rtol=1e-6)


def test_arima_goes_on_as_statsmodels_does(values):
    train, starts = 140, np.array([140, 141, 165])
    made = arima(values, train, starts, HORIZON, SEASON)
    differences = values[SEASON:] - values[:-SEASON]
    mean = differences[: train - SEASON].mean()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [
            ARIMA(differences[: train - SEASON] - mean, order=(p, 0, q), trend="n").fit(method="innovations_mle")
            for p, q in ORDERS
        ]
    best = min(fits, key=lambda fit: fit.aic)
    for row, start in enumerate(starts):
        more = differences[train - SEASON : start - SEASON] - mean
        changes = (best.append(more) if len(more) else best).forecast(HORIZON) + mean
        known = list(values[:start])
        for change in changes:
            known.append(known[-SEASON] + change)
        np.testing.assert_allclose(made[row], known[start:], rtol=1e-6)


@pytest.mark.parametrize("horizon", [1, 3])
def test_ridge_reads_lags_from_the_last_value(values, horizon):
    parts = split(200, 10, horizon)
    starts = origins(parts["test"], horizon)
    made = ridge(values, parts, starts, 10, horizon)

    def rows(at):
        read = [[values[s - lag] - values[s - 1] for lag in range(10, 1, -1)] for s in at]
        return np.array(read), np.array([[values[s + h] - values[s - 1] for h in range(horizon)] for s in at])

    x, y = rows(origins(parts["train"], horizon))
    val_x, val_y = rows(origins(parts["val"], horizon))
    variance = values[: parts["train"].stop].var()
    models = [Ridge(alpha=penalty * variance).fit(x, y) for penalty in PENALTIES]
    errors = [np.square(model.predict(val_x).reshape(val_y.shape) - val_y).mean() for model in models]
    best = models[int(np.argmin(errors))]
    expected = best.predict(rows(starts)[0]).reshape(-1, horizon) + values[starts - 1, None]
    np.testing.assert_allclose(made, expected, rtol=1e-8)


@pytest.mark.parametrize("horizon", [1, 3])
def test_ar_is_fitted_on_training_chosen_on_validation_and_iterated(values, horizon):
    parts = split(200, 30, horizon)
    starts, val = origins(parts["test"], horizon), origins(parts["val"], horizon)
    train = values[: parts["train"].stop]

    def iterated(weights, start):
        known = list(values[:start])
        for _ in range(horizon):
            known.append(weights[0] + sum(w * known[-lag] for lag, w in enumerate(weights[1:], start=1)))
        return known[start:]

    found = []
    for order in orders_up_to(30):
        rows = [[1.0, *(train[step - lag] for lag in range(1, order + 1))] for step in range(order, len(train))]
        weights = np.linalg.lstsq(np.array(rows), train[order:], rcond=None)[0]
        errors = [np.subtract(iterated(weights, start), values[start : start + horizon]) for start in val]
        found.append((np.square(errors).mean(), order, weights))
    _, order, best = min(found, key=lambda row: row[0])
    assert 1 < order < 30
    made = autoregression(values, parts, starts, 30, horizon)
    np.testing.assert_allclose(made, [iterated(best, start) for start in starts], rtol=1e-8)


def test_ar_continues_a_wave_for_ever():
    """A sine is an AR(2), exactly."""
    wave = 3 + np.sin(0.7 * np.arange(120))
    parts = split(120, 12, 10)
    starts = origins(parts["test"], 10)
    np.testing.assert_allclose(
        autoregression(wave, parts, starts, 12, 10), wave[starts[:, None] + np.arange(10)], atol=1e-8
    )


def test_golden_ar_on_sunspots():
    """Nine lags, as chosen on validation; no other baseline of this series is as near."""
    series = sunspots()
    parts = split(len(series.values), series.window, series.horizon)
    starts = origins(parts["test"], series.horizon)
    made = autoregression(series.values, parts, starts, series.window, series.horizon)
    error = np.abs(made - series.values[starts[:, None] + np.arange(series.horizon)]).mean()
    assert error == pytest.approx(23.57, abs=0.01)


def test_har_is_least_squares_on_the_means_of_a_day_a_week_and_a_month(values):
    starts = np.array([150, 180])

    def means(start):
        return [1.0, values[start - 1], values[start - 5 : start].mean(), values[start - 22 : start].mean()]

    x, y = np.array([means(start) for start in range(22, 140)]), values[22:140]
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    expected = np.array([means(start) for start in starts]) @ weights
    np.testing.assert_allclose(har(values, 140, starts)[:, 0], expected, rtol=1e-8)


def test_no_baseline_learns_from_what_comes_after_training_nor_sees_what_it_forecasts(values):
    """Other values from an origin on change no forecast from there."""
    parts = split(200, 10, 3)
    known = forecasts(values, parts, window=10, horizon=3, seasons={"six": SEASON})
    assert list(known) == ["last value", "naive, six", "AR", "ridge", "ETS", "ARIMA"]
    changed = values.copy()
    cut = 5  # of the test origins
    changed[parts["test"].start + cut :] += 100
    other = forecasts(changed, parts, window=10, horizon=3, seasons={"six": SEASON})
    for name, forecast in known.items():
        assert forecast.shape == (len(origins(parts["test"], 3)), 3)
        np.testing.assert_allclose(other[name][: cut + 1], forecast[: cut + 1], rtol=1e-9, err_msg=name)
        assert not np.allclose(other[name][cut + 1 :], forecast[cut + 1 :])
