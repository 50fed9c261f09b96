"""What fails after training hides nothing: the metrics are there, the run is done, and what is missing says why."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from forecasting.copy_task import Copying
from seqlab.lit.loggers import RunLogger
from seqlab.run.directory import RunDirectory, Status
from seqlab.run.evaluate import same_weights
from seqlab.run.resume import Start
from seqlab.run.train import fit
from seqlab.task import Task
from tests.run.test_resume import TASKS

STEPS = ["trainer.max_steps=4", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu"]
SEASON = np.sin(2 * np.pi * np.arange(300) / 24)
ARMA = "there is nothing for ARMA to fit"
NOT_STATIONARY = "the process is non-stationary"
SERIES = {  # values, seasons, why ARIMA cannot be fitted
    "a season": (np.arange(300) % 7, "[7]", f"the series always changes by 0 over 7 steps: {ARMA}"),
    "a line": (np.arange(300), "[]", f"the series always changes by 1 over a step: {ARMA}"),
    "a sine": (SEASON, "[]", NOT_STATIONARY),
    "doubling": (2.0 ** np.arange(300), "[]", NOT_STATIONARY),
    "growth": (1.01 ** np.arange(300), "[]", NOT_STATIONARY),
}


def plain(path):
    """A JSON file that has no NaN and no Infinity in it."""

    def refuse(name):
        raise AssertionError(f"{name} in {path}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture
def forecast(command, root, tmp_path):
    """(values, seasons, further words) -> the process and the summary of a run on a series."""

    def ran(values, seasons, *words):
        text = "".join(f"{float(value)!r}\n" for value in values)
        (tmp_path / "v.csv").write_text(f"v\n{text}", encoding="utf-8")
        data = ["data=series", "data.csv=v.csv", "data.column=v", "data.window=24", "data.horizon=4"]
        words = [*STEPS, *data, f"data.seasons={seasons}", "model=linear", "model.d_model=4", "logger=csv", *words]
        done = command(root / "run.py", *words, "hydra.run.dir=run", cwd=tmp_path)
        summary = tmp_path / "run" / "summary.json"
        return done, plain(summary) if summary.exists() else None

    return ran


@pytest.mark.parametrize("name", ["a season", *(pytest.param(name, marks=pytest.mark.slow) for name in [*SERIES][1:])])
def test_a_baseline_that_cannot_be_fitted_is_a_dash_with_its_reason(forecast, command, tmp_path, name):
    values, seasons, why = SERIES[name]
    done, summary = forecast(values, seasons)
    assert done.returncode == 0, done.stderr
    assert RunDirectory(tmp_path / "run").read_status().state == "done"
    assert list(summary["missing"]) == ["baseline ARIMA"]
    assert why in summary["missing"]["baseline ARIMA"]
    assert set(summary["baselines"]["ARIMA"].values()) == {None}
    for baseline in ("last value", "ridge", "ETS"):
        assert summary["baselines"][baseline]["test/mae"] is not None
    assert summary["metrics"]["test/mae"] > 0
    assert f"warning: baseline ARIMA is missing: {summary['missing']['baseline ARIMA']}\n" in done.stderr
    assert f"baseline ARIMA: {summary['missing']['baseline ARIMA'][:40]}" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Traceback" in (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "plots" / "forecast.png").exists()
    report = command("-m", "seqlab.report", "run", "--format", "csv", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    (row,) = (line for line in report.stdout.splitlines() if ",ARIMA," in line and ",test/mae," in line)
    assert ",test/mae,,,0," in row  # neither mean nor deviation, of no run


def test_a_run_whose_end_was_cut_off_is_ended_by_resume(forecast, command, root, tmp_path):
    """As runs stand there that failed in their baselines: trained, not evaluated."""
    values, seasons, _ = SERIES["a season"]
    forecast(values, seasons)
    run = tmp_path / "run"
    (run / "summary.json").unlink()
    status = RunDirectory(run).read_status()
    RunDirectory(run).write_status(Status("failed", "float division", status.hash))
    done = command(root / "run.py", "resume=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert RunDirectory(run).read_status().state == "done"
    summary = plain(run / "summary.json")
    assert (summary["steps"], list(summary["missing"])) == (4, ["baseline ARIMA"])


def test_metrics_that_are_not_finite_are_none_with_a_reason(forecast):
    """Errors of 1e157 in the test part: the mean of their squares is beyond the largest float."""
    values = np.concatenate([SEASON[:240] * 1e121, SEASON[240:] * 1e157])
    done, summary = forecast(values, "[]")
    assert done.returncode == 0, done.stderr
    assert summary["metrics"]["test/mae"] > 1e150
    assert summary["metrics"]["test/mse"] is None
    assert "test/mse is inf" in summary["missing"]["metrics"]
    assert summary["baselines"]["last value"]["test/mse"] is None
    assert "test/mse is inf" in summary["missing"]["baseline last value"]
    assert "RuntimeWarning" not in done.stderr


def test_a_series_whose_variance_is_beyond_a_float_is_refused(forecast):
    done, _ = forecast(2.0 ** np.arange(1000), "[]")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the training part has values as large as 2.63e+210, whose squares overflow: "
        "give the series in a larger unit\n"
    )


def test_files_that_cannot_be_written_hide_nothing(command, root, tiny, tmp_path):
    """Things of the names of the run's own stand in their way."""
    run = tmp_path / "run"
    (run / "predictions.jsonl").mkdir(parents=True)
    (run / "plots").write_text("", encoding="utf-8")
    done = command(root / "run.py", *tiny("linear"), *STEPS, "model=linear", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = plain(run / "summary.json")
    assert list(summary["missing"]) == ["predictions", "figure learning_curves", "figure results"]
    assert set(done.stderr.splitlines()) >= {f"warning: {n} is missing: {w}" for n, w in summary["missing"].items()}
    assert summary["metrics"]["test/loss"] > 0
    assert summary["baselines"]["oracle"]["test/id/grammatical"] == 1
    assert RunDirectory(run).read_status().state == "done"
    assert "oracle" in done.stdout
    assert (run / "run.log").read_text(encoding="utf-8").count("Traceback") >= 3
    again = command(root / "run.py", "resume=run", cwd=tmp_path)
    assert (again.returncode, "nothing to resume" in again.stdout) == (0, True)


class Unreachable(RunLogger, CSVLogger):
    """A server that is gone once the run has ended."""

    def conclude(self, config, numbers, figures, step):
        raise ConnectionError("no route to host")


class Listener(RunLogger, CSVLogger):
    def conclude(self, config, numbers, figures, step):
        self.told = numbers, set(figures)


def test_a_logger_that_fails_does_not_stop_the_next(prepare, tmp_path, capsys):
    (tmp_path / "run").mkdir()  # as Hydra makes it
    run, trainer = prepare("model=linear", *STEPS, "logger=csv")
    listener = Listener(tmp_path / "second", name="", version="")
    trainer.loggers += [Unreachable(tmp_path / "first", name="", version=""), listener]
    summary = fit(run, trainer, Start(run.config, None, 0, None), RunDirectory(tmp_path / "run"))
    assert summary["missing"] == {"logger Unreachable": "no route to host"}
    numbers, figures = listener.told
    assert numbers["test/loss"] == summary["metrics"]["test/loss"]
    assert figures == {"learning_curves", "results"}
    assert "warning: logger Unreachable is missing: no route to host" in capsys.readouterr().err


@pytest.mark.parametrize("data", ["copy", *(pytest.param(d, marks=pytest.mark.slow) for d in TASKS if d != "copy")])
def test_nothing_is_missing_of_any_task(prepare, tmp_path, data):
    """An extra that fails by a fault of ours is seen here."""
    model = {"semiprimes": "bits_transformer"}.get(data, "lstm")
    (tmp_path / "run").mkdir()  # as Hydra makes it
    run, trainer = prepare(f"data={data}", f"model={model}", *STEPS)
    summary = fit(run, trainer, Start(run.config, None, 0, None), RunDirectory(tmp_path / "run"))
    assert summary["missing"] == {}
    assert all(math.isfinite(value) for value in summary["metrics"].values() if value is not None)
    assert {path.stem for path in (tmp_path / "run" / "plots").iterdir()} >= {"learning_curves"}
    assert (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8")


class Silent(Copying):
    """A task of somebody who wrote no example of a prompt."""

    sample_prompt = Task.sample_prompt  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Copying, Silent])
def test_a_task_without_an_example_ends_without_a_line_that_asks_for_one(prepare, tmp_path, capsys, kind):
    (tmp_path / "run").mkdir()  # as Hydra makes it
    run, trainer = prepare("model=linear", "data=copy", *STEPS, "logger=csv")
    run = replace(run, task=kind(run.datamodule))
    fit(run, trainer, Start(run.config, None, 0, None), RunDirectory(tmp_path / "run"))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
    assert ["predict" in line for line in lines] == ([True, False] if kind is Copying else [False])
    assert run.task.sample_prompts() == ([] if kind is Silent else ["1 2 3 4 5 6 7 8 1 2"])


def test_weights_are_the_same_only_where_every_number_is():
    def weights(**changes):
        return {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3])} | changes

    assert same_weights(weights(), weights())
    for other in (
        weights(a=torch.tensor([1.0, 2.0 + 2**-22])),
        weights(a=torch.tensor([[1.0, 2.0]])),
        weights(c=torch.tensor([3])),
        {"a": weights()["a"]},
    ):
        assert not same_weights(weights(), other)
        assert not same_weights(other, weights())
    without = weights(a=torch.tensor([math.nan, 2.0]))
    assert not same_weights(without, without)


@pytest.mark.parametrize(("steps", "alike"), [(2, True), (3, False)])
def test_both_checkpoints_are_tested_unless_they_hold_the_same_weights(prepare, tmp_path, steps, alike):
    """After three steps, the only validation was before the last."""
    (tmp_path / "run").mkdir()  # as Hydra makes it
    words = [*STEPS, f"trainer.max_steps={steps}", "trainer.val_every=2", "logger=csv"]
    run, trainer = prepare("model=linear", "data=copy", *words)
    summary = fit(run, trainer, Start(run.config, None, 0, None), RunDirectory(tmp_path / "run"))
    assert (summary["best_step"], summary["steps"]) == (2, steps)
    tested = {name: value for name, value in summary["metrics"].items() if name.startswith("test/")}
    assert len(tested) > 2
    assert all(value == summary["metrics"][f"test_last/{name[5:]}"] for name, value in tested.items()) == alike
