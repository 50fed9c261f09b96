"""Baseline forecasts: last value, seasonal naive, AR, ridge on lags, exponential smoothing, ARIMA, HAR.

Each is fitted on the training part alone. It then forecasts from every origin, given all values before it.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.windows import main_season, origins
from seqlab.attempts import Attempts

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

# n origins, T lags, H steps forecast; values (length,); starts (n,) are the first forecast steps

PENALTIES = tuple(10.0**power for power in range(-4, 5))  # of ridge, in units of the training part's variance
ORDERS = ((1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1))  # of ARMA; the lowest AIC wins
HAR_DAYS = (1, 5, 22)
LONG_SEASON = 60  # steps; ETS averages the initial states of longer seasons, because fitting hundreds takes too long


def forecasts(
    values: np.ndarray, parts: Mapping[str, range], *, window: int, horizon: int, seasons: Mapping[str, int]
) -> Attempts[np.ndarray]:
    """Forecasts of the test part of a series by all baselines that can be fitted to it: {name: (n, H)}.

    Args:
        values: the whole series.
        parts: the result of forecasting.windows.split.
        window: number of lags for ridge, and the largest order of AR.
        horizon: number of steps to forecast.
        seasons: {name: steps}.
    """
    starts, train = origins(parts["test"], horizon), values[: parts["train"].stop]
    season = main_season(seasons)
    rows = Attempts[np.ndarray]()
    rows["last value"] = np.repeat(values[starts - 1, None], horizon, 1)
    for name, steps in seasons.items():
        rows[f"naive, {name}"] = seasonal_naive(values, starts, horizon, steps)
    with rows.attempt("AR"):
        rows["AR"] = autoregression(values, parts, starts, window, horizon)
    with rows.attempt("ridge"):
        rows["ridge"] = ridge(values, parts, starts, window, horizon)
    with rows.attempt("ETS"):
        rows["ETS"] = exponential_smoothing(values, len(train), starts, horizon, season)
    with rows.attempt("ARIMA"):
        rows["ARIMA"] = arima(values, len(train), starts, horizon, season)
    return rows


def seasonal_naive(values: np.ndarray, starts: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The value one season before, or the smallest number of seasons before at which it is known: (n, H).

    >>> seasonal_naive(np.arange(6.0), np.array([4]), horizon=3, season=2)
    array([[2., 3., 2.]])
    """
    return values[starts[:, None] - season + np.arange(horizon) % season]


def orders_up_to(largest: int) -> list[int]:
    """The orders of AR that are tried: all up to 24, then in steps of about a tenth, and the largest.

    >>> orders_up_to(33)[20:]
    [21, 22, 23, 24, 26, 29, 32, 33]
    """
    orders = list(range(1, min(largest, 24) + 1))
    while orders[-1] < largest:
        orders.append(min(largest, round(orders[-1] * 1.1)))
    return orders


def autoregression(
    values: np.ndarray, parts: Mapping[str, range], starts: np.ndarray, largest: int, horizon: int
) -> np.ndarray:
    """AR(p) by least squares with a constant, iterated over the horizon (Box & Jenkins 1970): (n, H).

    Each order of `orders_up_to(largest)` is fitted to all of the training part. The one with the smallest squared error
    of its iterated forecasts on the validation part is used.
    """
    train = values[: parts["train"].stop]
    val = origins(parts["val"], horizon)
    truth = values[val[:, None] + np.arange(horizon)]

    def fitted(order: int) -> np.ndarray:
        """The weights of the lags, oldest first, and the constant last: (order + 1,)."""
        lags = np.lib.stride_tricks.sliding_window_view(train[:-1], order)
        design = np.concatenate([lags, np.ones((len(lags), 1))], 1)
        return np.linalg.lstsq(design, train[order:], rcond=None)[0]

    def iterated(weights: np.ndarray, at: np.ndarray) -> np.ndarray:
        order = len(weights) - 1
        known = np.empty((len(at), order + horizon))
        known[:, :order] = values[at[:, None] + np.arange(-order, 0)]
        for step in range(horizon):
            known[:, order + step] = known[:, step : order + step] @ weights[:-1] + weights[-1]
        return known[:, order:]

    with np.errstate(all="ignore"):  # an order may explode over the horizon: its error is infinite
        models = [fitted(order) for order in orders_up_to(min(largest, len(train) // 2))]
        errors = [float(np.nan_to_num(np.square(iterated(model, val) - truth).mean(), nan=np.inf)) for model in models]
    return iterated(models[int(np.argmin(errors))], starts)


def ridge(values: np.ndarray, parts: Mapping[str, range], starts: np.ndarray, window: int, horizon: int) -> np.ndarray:
    """Ridge regression of H steps on T lags, both relative to the last value (NLinear, Zeng et al. 2023): (n, H).

    The penalty minimizes the squared error on the validation part.
    """
    from sklearn.linear_model import Ridge

    def lags_and_steps(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        last = values[at - 1, None]
        return values[at[:, None] + np.arange(-window, -1)] - last, values[at[:, None] + np.arange(horizon)] - last

    lags, steps = lags_and_steps(origins(parts["train"], horizon))
    val_lags, val_steps = lags_and_steps(origins(parts["val"], horizon))
    variance = values[: parts["train"].stop].var()
    models = [Ridge(alpha=penalty * variance).fit(lags, steps) for penalty in PENALTIES]

    def predict(model: "Ridge", lags: np.ndarray) -> np.ndarray:
        return model.predict(lags).reshape(-1, horizon)  # for one target, scikit-learn returns (n,)

    best = min(models, key=lambda model: float(np.square(predict(model, val_lags) - val_steps).mean()))
    return predict(best, lags_and_steps(starts)[0]) + values[starts - 1, None]


def exponential_smoothing(
    values: np.ndarray, num_train: int, starts: np.ndarray, horizon: int, season: int
) -> np.ndarray:
    """Exponential smoothing by statsmodels, ETS(A, Ad, A) or ETS(A, Ad, N) (Hyndman et al. 2008): (n, H).

    The model has no season (N) if `season` is 1 or the training part is shorter than three seasons. The parameters are
    fitted on the training part. The recursion continues after it, and each origin forecasts from its states.
    """
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    seasonal = season > 1 and num_train >= 3 * season
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer may stop before convergence; its last parameters are used
        fitted: Any = ETSModel(
            values[:num_train],
            trend="add",
            damped_trend=True,
            seasonal="add" if seasonal else None,
            seasonal_periods=season if seasonal else None,
            initialization_method="estimated" if season <= LONG_SEASON else "heuristic",
        ).fit(disp=False, maxiter=200)
    names = dict(zip(fitted.model.param_names, fitted.params, strict=True))
    alpha, beta, damping = (names[name] for name in ("smoothing_level", "smoothing_trend", "damping_trend"))
    gamma = names.get("smoothing_seasonal", 0.0)
    level, trend = fitted.level[-1], fitted.slope[-1]
    seasons = list(fitted.season[-season:]) if seasonal else [0.0]  # of the coming steps, the next one first
    weights = np.cumsum(damping ** np.arange(1, horizon + 1))  # of the trend, for each step of the horizon
    rows = np.empty((len(values) + 1, horizon))
    for step in range(num_train, len(values) + 1):
        rows[step] = level + weights * trend + np.resize(seasons, horizon)
        if step < len(values):
            error = values[step] - rows[step, 0]
            level, trend = level + damping * trend + alpha * error, damping * trend + beta * error
            seasons.append(seasons.pop(0) + gamma * error)
    return rows[starts]


def arima(values: np.ndarray, num_train: int, starts: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """ARMA of seasonal differences (one-step differences without a season) around their mean, by statsmodels: (n, H).

    Of ORDERS, the order with the lowest AIC on the training part is used. The Kalman filter continues after the
    training part with the fitted parameters.

    Raises:
        ValueError: the differences of the training part are constant, so there is nothing to fit.
    """
    from statsmodels.tsa.arima.model import ARIMA

    differences = values[season:] - values[:-season]
    mean = differences[: num_train - season].mean()
    train = differences[: num_train - season] - mean
    if not train.any():
        steps = f"{season} steps" if season > 1 else "a step"
        raise ValueError(f"the series always changes by {mean:g} over {steps}: there is nothing for ARMA to fit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about starting values that it replaces by zeros
        # the same likelihood as the Kalman filter's, several times faster
        fits: list[Any] = [ARIMA(train, order=(p, 0, q), trend="n").fit(method="innovations_mle") for p, q in ORDERS]
    best = min(fits, key=lambda fit: fit.aic)
    filtered = best.apply(differences - mean).filter_results
    # the predicted state at each origin, advanced step by step
    state = filtered.predicted_state[:, starts - season]
    design, transition = filtered.design[0, :, 0], filtered.transition[:, :, 0]
    changes = np.empty((len(starts), horizon))
    for step in range(horizon):
        changes[:, step] = design @ state + mean
        state = transition @ state
    result = np.empty_like(changes)
    for step in range(horizon):
        before = result[:, step - season] if step >= season else values[starts + step - season]
        result[:, step] = changes[:, step] + before
    return result


def har(values: np.ndarray, num_train: int, starts: np.ndarray, days: Sequence[int] = HAR_DAYS) -> np.ndarray:
    """Least squares on the means of the last day, week and month (HAR, Corsi 2009), one step ahead: (n, 1)."""
    from sklearn.linear_model import LinearRegression

    sums = np.concatenate([[0.0], values.cumsum()])

    def means(at: np.ndarray) -> np.ndarray:
        return np.stack([(sums[at] - sums[at - number]) / number for number in days], 1)

    fitted_at = np.arange(max(days), num_train)
    model = LinearRegression().fit(means(fitted_at), values[fitted_at])
    return model.predict(means(starts))[:, None]
