"""Training on values to come, and the errors of a forecast beside those of its baselines."""

import logging
from collections.abc import Callable
from functools import cached_property
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

from forecasting.adding_datamodule import AddingDataModule
from forecasting.datamodule import ForecastDataModule
from forecasting.metrics import ForecastMetrics
from forecasting.numerals import numbers
from forecasting.plots import error_by_horizon, one_step_figure, origin_figure
from forecasting.returns_datamodule import ReturnsDataModule
from forecasting.series_datamodule import SeriesDataModule
from forecasting.windows import Windows, single
from seqlab.attempts import Attempts
from seqlab.errors import InputError
from seqlab.lit.module import Module, Results
from seqlab.metrics import Mean
from seqlab.schedule import Schedule
from seqlab.share import Share

NUM_WRITTEN = 200  # test forecasts in completions.jsonl
LEAK = 0.56  # a share of right directions above which something is wrong: 0.52 is the best that was seen

Data = TypeVar("Data", bound=ForecastDataModule)

logger = logging.getLogger(__name__)


class Forecast(Module, Generic[Data]):
    """The next `horizon` values of a series, all at once, from what the model says at the last step of a window.

    Args:
        model: any sequence model that reads vectors.
        datamodule: the series.
        optimizer, schedule, seed: as in seqlab.lit.module.Module.
    """

    columns = MappingProxyType(
        {"MAE": "test/mae", "RMSE": "test/rmse", "MASE": "test/mase", "loss (scaled)": "test/loss"}
    )
    better = MappingProxyType(dict.fromkeys(columns.values(), "low"))
    data: Data

    def __init__(
        self,
        *,
        model: nn.Module,
        datamodule: Data,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Schedule,
        seed: int,
    ):
        super().__init__(model=model, datamodule=datamodule, optimizer=optimizer, schedule=schedule, seed=seed)
        self.horizon = datamodule.horizon
        self.mean_loss = Mean()
        self.metrics = self.new_metrics()
        self.forecasts: list[Tensor] = []

    def new_metrics(self) -> ForecastMetrics:
        """Empty metrics of this series."""
        return ForecastMetrics(horizon=self.horizon, naive_error=self.data.naive_error)

    def title(self) -> str:
        return self.data.title

    def loss(self, batch: Windows) -> Tensor:
        """The mean squared error in the scale of the training part."""
        return mse_loss(self.model(batch.inputs)[:, -1], batch.targets)

    def in_units(self, scaled: Tensor, level: Tensor) -> Tensor:
        """Forecasts or targets (n, width) in the unit of the series, (n, horizon)."""
        return self.data.in_units(scaled, level)

    def _evaluation_step(self, batch: Windows) -> None:
        output = self.model(batch.inputs)[:, -1].cpu().double()
        targets, level = batch.targets.cpu().double(), batch.level.cpu()
        self.mean_loss.update(mse_loss(output, targets), len(output))
        forecast = self.in_units(output, level)
        self.metrics.update(forecast, self.in_units(targets, level))
        self.forecasts.append(torch.cat([forecast, output[:, self.horizon :]], 1))

    def _evaluation_results(self, stage: str) -> dict[str, Share | float]:
        results: dict[str, Share | float] = {f"{stage}/loss": float(self.mean_loss.compute())}
        results |= {f"{stage}/{name}": value for name, value in self.metrics.compute().items()}
        self.mean_loss.reset()
        self.metrics.reset()
        self.test_forecasts = torch.cat(self.forecasts)
        self.forecasts.clear()
        return results

    def validation_step(self, batch: Windows, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_validation_epoch_end(self) -> None:
        results = self._evaluation_results("val")
        self.log_results({name: value for name, value in results.items() if "_by_horizon" not in name})

    def test_step(self, batch: Windows, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_test_epoch_end(self) -> None:
        self.results = self._evaluation_results("test")

    @cached_property
    def truth(self) -> Tensor:
        """What came in the test part, (n, horizon)."""
        return self.in_units(self.data.test.targets, self.data.test.level)

    @cached_property
    def baseline_forecasts(self) -> Attempts[np.ndarray]:
        """Those of the datamodule, computed once."""
        return self.data.baselines()

    def baselines(self) -> Attempts[Results]:
        """Every baseline through the same metrics on the same origins."""
        rows = Attempts[Results]()
        for name, forecast in self.baseline_forecasts.items():
            metrics = self.new_metrics()
            metrics.update(torch.from_numpy(forecast), self.truth)
            rows[name] = {f"test/{key}": value for key, value in metrics.compute().items()}
        rows.errors |= self.baseline_forecasts.errors
        return rows

    def figures(self) -> Attempts[Figure]:
        figures = Attempts[Figure]()
        model = self.test_forecasts[:, : self.horizon].numpy()
        forecasts = {"model": model, **self.baseline_forecasts}
        with figures.attempt("forecast"):
            if self.horizon == 1:
                figures["forecast"] = one_step_figure(self.truth.numpy(), forecasts)
            else:
                history = self.in_units(self.data.test.inputs[:, :, 0], self.data.test.level).numpy()
                figures["forecast"] = origin_figure(history, self.truth.numpy(), forecasts)
        if self.horizon > 1:
            with figures.attempt("error_by_horizon"):
                rows = {"model": self.results, **self.baseline_results}
                figures["error_by_horizon"] = error_by_horizon(rows, self.horizon)
        return figures

    def examples(self) -> list[dict[str, Any]]:
        """The first test forecasts beside what came."""
        rows = zip(self.test_forecasts[:NUM_WRITTEN].tolist(), self.truth[:NUM_WRITTEN].tolist(), strict=True)
        return [{"set": "test", "forecast": forecast[: self.horizon], "target": target} for forecast, target in rows]

    @torch.inference_mode()
    def output_of(self, windows: Windows) -> Tensor:
        """What the model says of some windows, (n, width), scaled."""
        was_training = self.model.training
        self.model.eval()
        output = self.model(windows.inputs.to(self.device))[:, -1].cpu()
        self.model.train(was_training)
        return output

    def forecast_of(self, windows: Windows) -> list[float]:
        """The forecast of one window in the unit of the series, `horizon` values.

        Raises:
            InputError: where it is no number: the window lies too far from what the model was trained on.
        """
        forecast = self.in_units(self.output_of(windows), windows.level)[0].tolist()
        if not np.isfinite(forecast).all():
            raise InputError("the forecast is no finite number: these values lie too far from those of the training")
        return forecast


class SeriesForecast(Forecast[SeriesDataModule]):
    """A forecast of one real series."""

    def names(self) -> dict[str, str]:
        return {"data": f"series_{self.data.series.name}"}

    def parse_prompt(self, text: str) -> np.ndarray:
        """The last values of a series in its unit; of no text, those that end the run's own series.

        Raises:
            InputError: for a word that is no number, fewer values than the model reads, or values that lie so far from
                the training part that their scaled form has no float32.
        """
        values = numbers(text.replace(",", " ").split()) if text.strip() else np.array(self.data.fitted.last)[:, 0]
        if len(values) < self.data.window:
            raise InputError(f"{len(values)} values are too few: the model reads data.window={self.data.window}")
        read = values[-self.data.window :]
        if not torch.isfinite(self._read(read).inputs).all():
            mean, deviation = self.data.scale
            farthest = read[np.abs(read - mean).argmax()]
            raise InputError(f"{farthest:g} lies too far from the training part, {mean:g} ± {deviation:g}")
        return read

    def _read(self, values: np.ndarray) -> Windows:
        """The last values of a series as the model reads them."""
        level = values[-1] if self.data.center else self.data.scale.mean
        with np.errstate(over="ignore", invalid="ignore"):
            inputs = single((values - level) / self.data.scale.deviation).view(1, -1, 1)
        return Windows(inputs, torch.zeros(1, self.horizon), torch.full((1, 1), level, dtype=torch.float64))

    def describe(self, prompt: np.ndarray) -> str:
        """The forecast, step by step."""
        values = self.forecast_of(self._read(prompt))
        lines = [f"read        {len(prompt)} values, the last {prompt[-1]:g}"]
        return "\n".join([*lines, f"forecast    {' '.join(f'{value:.5g}' for value in values)}"])


class RangeForecast(Forecast[ReturnsDataModule]):
    """The log range of the next day; and, as a control, whether its return has the sign that a second output says."""

    columns = MappingProxyType({**Forecast.columns, "direction (control)": "test/direction"})

    def in_units(self, scaled: Tensor, level: Tensor) -> Tensor:
        return super().in_units(scaled[:, :1], level)

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        said = self.test_forecasts[:, 1] + self.data.mean_return > 0
        came = self.data.test.targets[:, 1].double() + self.data.mean_return > 0
        direction = Share(int((said == came).sum()), len(came))
        self.results["test/direction"] = direction
        assert direction.value is not None
        if direction.value > LEAK:
            logger.warning(
                "the direction of the next day is right in %.1f%% of %d days: above %.0f%%, look for a leak",
                100 * direction.value, len(came), 100 * LEAK,
            )  # fmt: skip

    def baselines(self) -> Attempts[Results]:
        rows = Attempts[Results]()
        up = self.data.test.targets[:, 1].double() + self.data.mean_return > 0
        rows["always up"] = {"test/direction": Share(int(up.sum()), len(up))}
        rows.take(super().baselines())
        return rows

    def parse_prompt(self, text: str) -> Windows:
        """The days that end the run's own data: a day has five numbers, too many to type.

        Raises:
            InputError: for any text.
        """
        if text.strip():
            raise InputError("data=returns reads the days that end its own data: give an empty prompt")
        return self.data.after_all()

    def describe(self, prompt: Windows) -> str:
        """The log range of the next day, and as a percentage."""
        (value,) = self.forecast_of(prompt)
        says = f"log range {value:.5f}, the high {np.expm1(value):.2%} above the low"
        return f"read        {self.data.window} days\nforecast    {says}"


class AddingForecast(Forecast[AddingDataModule]):
    """The sum of the two marked numbers; always saying 1 has the squared error 1/6."""

    columns = MappingProxyType({"squared error": "test/mse", "MAE": "test/mae"})
    better = MappingProxyType(dict.fromkeys(columns.values(), "low"))

    def parse_prompt(self, text: str) -> Windows:
        """Numbers with blanks between, the marked ones with a star: 0.3 0.9* 0.1 0.5*; of no text, a test sequence.

        Raises:
            InputError: for a word that is no number, other than two marks, or more steps than the model was trained on.
        """
        if not text.strip():
            return Windows(*(part[:1] for part in self.data.test))
        words = text.split()
        marks = np.array([word.endswith("*") for word in words])
        values = numbers([word.removesuffix("*") for word in words])
        if marks.sum() != 2:
            raise InputError(f"{marks.sum()} numbers are marked with *: exactly two are to be")
        if len(values) > self.data.length:
            raise InputError(
                f"{len(values)} numbers are too many: the model was trained on data.length={self.data.length}"
            )
        inputs = single(np.stack([values, marks.astype(float)], 1)).unsqueeze(0)
        targets = single(values[marks].sum().reshape(1, 1))
        if not (torch.isfinite(inputs).all() and torch.isfinite(targets)):
            raise InputError(f"{values[np.abs(values).argmax()]:g} is too large: the model was trained on 0 to 1")
        return Windows(inputs, targets, torch.zeros(1, 1, dtype=torch.float64))

    def describe(self, prompt: Windows) -> str:
        """The sum that the model says, and the true one."""
        (said,) = self.forecast_of(prompt)
        return f"forecast    {said:.4f}\nin truth    {float(prompt.targets):.4f}"
