"""The tasks of forecasting: training on future values, and forecast errors beside those of baselines."""

import logging
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from forecasting.adding_datamodule import AddingDataModule
from forecasting.adding_prompt import typed
from forecasting.datamodule import ForecastDataModule
from forecasting.intervals import mae_interval
from forecasting.metrics import ForecastMetrics
from forecasting.numerals import numbers, written
from forecasting.returns_datamodule import ReturnsDataModule
from forecasting.series_datamodule import SeriesDataModule
from forecasting.windows import Windows, single
from seqlab.answers import GREEDY, Answer, Sampling
from seqlab.attempts import Attempts
from seqlab.errors import InputError
from seqlab.metrics import Mean
from seqlab.model import device_of, evaluating
from seqlab.proportion import Proportion
from seqlab.task import Results, Split, Task, Watched, predictions_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_WRITTEN = 200  # test forecasts in predictions.jsonl
NUM_SHOWN = 2  # forecasts in a line at a validation
LEAK = 0.56  # a proportion of correct directions above this suggests a leak; the best one seen is 0.52

Data = TypeVar("Data", bound=ForecastDataModule)

logger = logging.getLogger(__name__)


class Forecast(Task[Data, nn.Module], Generic[Data]):
    """Forecasts the next `horizon` values of a series at once from the model's output at the last step of a window.

    Args:
        datamodule: the series.
    """

    columns = MappingProxyType(
        {"MAE": "test/mae", "RMSE": "test/rmse", "MASE": "test/mase", "loss (scaled)": "test/loss"}
    )
    better = MappingProxyType(dict.fromkeys(columns.values(), "low"))

    def __init__(self, datamodule: Data):
        super().__init__(datamodule)
        self.horizon = datamodule.horizon

    def new_metrics(self) -> ForecastMetrics:
        """New metrics for this series."""
        return ForecastMetrics(horizon=self.horizon, naive_error=self.data.naive_error)

    def title(self) -> str:
        return self.data.title

    def loss(self, model: nn.Module, batch: Windows) -> Tensor:
        """The mean squared error of the scaled values."""
        output = model(batch.inputs)[:, -1]
        return mse_loss(output, batch.targets.to(output.dtype))

    def sample_prompt(self) -> str:
        return ""  # the end of its own data

    def in_units(self, scaled: Tensor, level: Tensor) -> Tensor:
        """Forecasts or targets (n, width) in the unit of the series, (n, horizon)."""
        return self.data.in_units(scaled, level)

    def outputs(self, model: nn.Module, split: Split) -> Tensor:
        """The model's scaled outputs for all windows of a split, (n, width) float64."""
        with evaluating(model):
            return torch.cat([model(batch.inputs)[:, -1].cpu().double() for batch in self.batches(model, split)])

    def evaluate(self, model: nn.Module, split: Split) -> Results:
        """The loss on scaled values and the forecast errors in the unit of the series."""
        return self.results_of(self.outputs(model, split), split)

    def results_of(self, outputs: Tensor, split: Split) -> Results:
        """Loss and metrics of scaled outputs (n, width) for the windows of a split."""
        loss, metrics = Mean(), self.new_metrics()
        windows = self.data.evaluation_set(split)
        targets = windows.targets.double()
        loss.update(self.selection_loss(outputs, targets), len(outputs))
        metrics.update(self.in_units(outputs, windows.level), self.in_units(targets, windows.level))
        found = metrics.compute()
        if split == "test":
            found |= mae_interval(self.in_units(outputs, windows.level), self.in_units(targets, windows.level))
        return {f"{split}/loss": loss.compute()} | {f"{split}/{name}": row for name, row in found.items()}

    def selection_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss by which best.ckpt is selected, of scaled outputs and targets (n, width)."""
        return mse_loss(outputs, targets)

    def watch(self, model: nn.Module) -> Watched:
        outputs, (_, targets, level) = self.outputs(model, "val"), self.data.evaluation_set("val")
        shown = {k: value for k, value in self.results_of(outputs, "val").items() if "_by_horizon" not in k}
        said, true = (self.in_units(part.double(), level)[:NUM_SHOWN].tolist() for part in (outputs, targets))
        rows = [("forecast", written(one), f"true: {written(other)}") for one, other in zip(said, true, strict=True)]
        return Watched(shown, {}, predictions_line(rows))

    @cached_property
    def truth(self) -> Tensor:
        """The true values of the test part, (n, horizon)."""
        return self.in_units(self.data.test.targets, self.data.test.level)

    @cached_property
    def baseline_forecasts(self) -> Attempts[np.ndarray]:
        """The datamodule's baseline forecasts, computed once."""
        return self.data.baselines()

    def baselines(self) -> Attempts[Results]:
        """Results of every baseline, with the same metrics on the same origins."""
        rows = Attempts[Results]()
        for name, forecast in self.baseline_forecasts.items():
            metrics = self.new_metrics()
            metrics.update(torch.from_numpy(forecast), self.truth)
            found = metrics.compute() | mae_interval(torch.from_numpy(forecast), self.truth)
            rows[name] = {f"test/{key}": value for key, value in found.items()}
        rows.errors |= self.baseline_forecasts.errors
        return rows

    def test_forecasts(self, model: nn.Module) -> Tensor:
        """The model's forecasts of the test part in the unit of the series, (n, horizon)."""
        return self.in_units(self.outputs(model, "test"), self.data.test.level)

    def figures(self, model: nn.Module, results: Results, baselines: Mapping[str, Results]) -> "Attempts[Figure]":
        from forecasting.plots import error_by_horizon, one_step_figure, origin_figure

        figures = Attempts["Figure"]()
        forecasts = {"model": self.test_forecasts(model).numpy(), **self.baseline_forecasts}
        with figures.attempt("forecast"):
            if self.horizon == 1:
                figures["forecast"] = one_step_figure(self.truth.numpy(), forecasts)
            else:
                history = self.in_units(self.data.test.inputs[:, :, 0], self.data.test.level).numpy()
                figures["forecast"] = origin_figure(history, self.truth.numpy(), forecasts)
        if self.horizon > 1:
            with figures.attempt("error_by_horizon"):
                figures["error_by_horizon"] = error_by_horizon({"model": results, **baselines}, self.horizon)
        return figures

    def examples(self, model: nn.Module) -> list[dict[str, Any]]:
        """The first test forecasts and their true values."""
        forecasts = self.test_forecasts(model)[:NUM_WRITTEN].tolist()
        rows = zip(forecasts, self.truth[:NUM_WRITTEN].tolist(), strict=True)
        return [{"set": "test", "target": target, "forecast": forecast} for forecast, target in rows]

    def window_of(self, prompt: Any) -> Windows:
        """A parsed prompt as one window."""
        return prompt

    def inputs(self, prompt: Any) -> Tensor:
        return self.window_of(prompt).inputs

    def answers(self, model: nn.Module, prompt: Any, sampling: Sampling = GREEDY) -> list[Answer]:
        """The forecast; there is nothing to sample from."""
        if sampling != GREEDY:
            return super().answers(model, prompt, sampling)
        return [Answer([], written(self.forecast_of(model, self.window_of(prompt))).split())]

    def forecast_of(self, model: nn.Module, windows: Windows) -> list[float]:
        """The forecast of one window in the unit of the series, `horizon` values.

        Raises:
            InputError: the forecast is not finite because the window is too far from the training data.
        """
        with evaluating(model):
            output = model(windows.inputs.to(device_of(model)))[:, -1].cpu()
        forecast = self.in_units(output, windows.level)[0].tolist()
        if not np.isfinite(forecast).all():
            raise InputError("the forecast is not finite: these values are too far from the training data")
        return forecast


class SeriesForecast(Forecast[SeriesDataModule]):
    """A forecast of one real series."""

    def names(self) -> dict[str, str]:
        return {"data": f"series_{self.data.series.name}"}

    def parse_prompt(self, text: str) -> np.ndarray:
        """Parse the last values of a series in its unit; an empty prompt means the end of the run's own series.

        Raises:
            InputError: a word is not a number, there are fewer values than the model reads, or a value is so much
                larger than the training part that its scaled form overflows float32.
        """
        values = numbers(text.replace(",", " ").split()) if text.strip() else np.array(self.data.fitted.last)[:, 0]
        if len(values) < self.data.window:
            raise InputError(f"{len(values)} values are too few: the model reads data.window={self.data.window}")
        read = values[-self.data.window :]
        if not torch.isfinite(self._read(read).inputs).all():
            mean, deviation = self.data.scale
            farthest = read[np.abs(read - mean).argmax()]
            raise InputError(f"{farthest:g} is too far from the training part, {mean:g} ± {deviation:g}")
        return read

    def window_of(self, prompt: np.ndarray) -> Windows:
        return self._read(prompt)

    def _read(self, values: np.ndarray) -> Windows:
        """The last values of a series as one window of scaled model inputs."""
        level = values[-1] if self.data.center else self.data.scale.mean
        with np.errstate(over="ignore", invalid="ignore"):
            inputs = single((values - level) / self.data.scale.deviation).view(1, -1, 1)
        return Windows(inputs, torch.zeros(1, self.horizon), torch.full((1, 1), level, dtype=torch.float64))

    def describe(self, model: nn.Module, prompt: np.ndarray) -> str:
        """The forecast of every step, as text."""
        values = self.forecast_of(model, self._read(prompt))
        return f"read        {len(prompt)} values, the last {prompt[-1]:g}\nforecast    {written(values)}"


class RangeForecast(Forecast[ReturnsDataModule]):
    """Forecasts the log range of the next day and, as a control, the sign of its return by a second output.

    Both outputs are trained. val/loss and test/loss are those of the range alone: the return cannot be forecast, so its
    error, most of the whole, would select best.ckpt by chance.
    """

    columns = MappingProxyType({**Forecast.columns, "direction (control)": "test/direction"})

    def in_units(self, scaled: Tensor, level: Tensor) -> Tensor:
        return super().in_units(scaled[:, :1], level)

    def selection_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mse_loss(outputs[:, 0], targets[:, 0])

    def results_of(self, outputs: Tensor, split: Split) -> Results:
        if split != "test":
            return super().results_of(outputs, split)
        predicted = outputs[:, 1] + self.data.mean_return > 0
        true = self.data.evaluation_set(split).targets[:, 1].double() + self.data.mean_return > 0
        direction = Proportion.of(predicted == true)
        assert direction.value is not None
        if direction.value > LEAK:
            logger.warning(
                "the direction of the next day is right on %.1f%% of %d days: above %.0f%%, look for a leak",
                100 * direction.value, len(true), 100 * LEAK,
            )  # fmt: skip
        return {**super().results_of(outputs, split), f"{split}/direction": direction}

    def baselines(self) -> Attempts[Results]:
        rows = Attempts[Results]()
        up = self.data.test.targets[:, 1].double() + self.data.mean_return > 0
        rows["always up"] = {"test/direction": Proportion.of(up)}
        rows.take(super().baselines())
        return rows

    def parse_prompt(self, text: str) -> Windows:
        """The last window of the run's own data. Prices of many days are too much to type, so text is refused.

        Raises:
            InputError: the prompt is not empty.
        """
        if text.strip():
            raise InputError("data=returns reads the last days of its own data: give an empty prompt")
        return self.data.after_all()

    def describe(self, model: nn.Module, prompt: Windows) -> str:
        """The log range of the next day, also as a percentage, as text."""
        (value,) = self.forecast_of(model, prompt)
        read, says = self.data.window, f"log range {value:.5f}, the high {np.expm1(value):.2%} above the low"
        return f"read        {read} days\nforecast    {says}"


class AddingForecast(Forecast[AddingDataModule]):
    """Predicts the sum of the two marked numbers. Always predicting 1 has the squared error 1/6."""

    columns = MappingProxyType({"squared error": "test/mse", "MAE": "test/mae"})
    better = MappingProxyType(dict.fromkeys(columns.values(), "low"))

    def parse_prompt(self, text: str) -> Windows:
        """Parse numbers separated by spaces, marked ones with a star: 0.3 0.9* 0.1 0.5*. Empty: a test sequence.

        Raises:
            InputError: a word is not a number or too large, the marks are not exactly two, or there are more numbers
                than steps in training.
        """
        if not text.strip():
            return Windows(*(part[:1] for part in self.data.test))
        return typed(text, self.data.length)

    def describe(self, model: nn.Module, prompt: Windows) -> str:
        """The predicted and the true sum, as text."""
        (predicted,) = self.forecast_of(model, prompt)
        return f"forecast    {predicted:.4f}\ntruth       {float(prompt.targets):.4f}"

    def best(self, prompt: Windows) -> str:
        """The true sum."""
        return f"{float(prompt.targets):.4f}"
