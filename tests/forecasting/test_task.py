"""Forecasting runs: what they measure, draw, say and refuse."""

import json
import logging

import numpy as np
import pytest
import torch

from forecasting.windows import Windows
from seqlab.errors import InputError

QUICK = ["trainer.max_steps=4", "trainer.min_steps=0", "trainer.val_every=2", "trainer.log_every=2", "logger=csv"]


@pytest.fixture(scope="module")
def finished(command, root, tiny, tmp_path_factory):
    """The run directory of one real command on sunspots."""
    folder = tmp_path_factory.mktemp("series")
    words = [*tiny("deep_lstm", "series"), *QUICK, "data=series", "data.name=sunspots", "model=deep_lstm"]
    done = command(root / "run.py", *words, "trainer.accelerator=cpu", "hydra.run.dir=one", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "one", done


def test_a_run_prints_its_baselines_and_draws_the_forecast(finished):
    folder, done = finished
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["data"] == "series_sunspots"
    assert list(summary["baselines"]) == ["last value", "naive, cycle", "AR", "ridge", "ETS", "ARIMA"]
    metrics = ("test/mae", "test/rmse", "test/mase", "test/mse", "test/mae_by_horizon/3")
    for row in [summary["metrics"], *summary["baselines"].values()]:
        assert all(np.isfinite(row[name]) and row[name] > 0 for name in metrics)
    names = ("learning_curves", "forecast", "error_by_horizon")
    drawn = {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    assert {path.name for path in (folder / "plots").iterdir()} == drawn
    assert "naive, cycle" in done.stdout and "mase" in done.stdout


def test_the_written_forecasts_have_the_error_that_is_printed(finished):
    folder, _ = finished
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    forecast, target = (np.array([row[name] for row in rows]) for name in ("forecast", "target"))
    assert np.abs(forecast - target).mean() == pytest.approx(summary["metrics"]["test/mae"])


def test_a_forecast_of_given_values(prepare):
    run, _ = prepare("model=deep_lstm", "data=series", "data.name=sunspots")
    values = run.datamodule.series.values
    start = run.datamodule.parts["test"].start
    prompt = run.task.parse_prompt(", ".join(map(str, values[start - 30 : start])))
    words = run.task.describe(run.model, prompt).splitlines()[-1].split()
    assert words[0] == "forecast"
    expected = run.task.test_forecasts(run.model)[0].tolist()
    assert [float(word) for word in words[1:]] == pytest.approx(expected, rel=1e-3)


def test_tables_call_a_series_of_the_users_own_by_its_file(prepare, tmp_path):
    (tmp_path / "mine.csv").write_text("x\n" + "\n".join(str(step % 7) for step in range(300)), encoding="utf-8")
    run, _ = prepare("data=series", "model=deep_lstm", f"data.csv={tmp_path}/mine.csv", "data.column=x")
    assert run.task.names() == {"data": "series_mine"}


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 2 three", "'three' is not a number"), ("1 2 3", "3 values are too few: .* data.window=22")],
)
def test_prompts_that_cannot_be_read(prepare, text, message):
    run, _ = prepare("data=series", "data.name=sunspots", "model=deep_lstm")
    with pytest.raises(ValueError, match=message):
        run.task.parse_prompt(text)


class Oracle(torch.nn.Module):
    """Says what is handed to it at the last step."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.place = answers, 0

    def forward(self, inputs):
        said = self.answers[self.place : self.place + len(inputs)]
        self.place += len(inputs)
        return said.unsqueeze(1)


def with_answers(prepare, answers_of, *words):
    """The task, and the results of a model that gives these answers."""
    run, _ = prepare("model=deep_lstm", *words)
    return run.task, run.task.evaluate(Oracle(answers_of(run.datamodule)), "test")


@pytest.mark.parametrize("center", ["true", "false"])
def test_a_perfect_model_has_no_error_and_zeros_are_the_level(prepare, center):
    words = ["data=series", "data.name=sunspots", f"data.center={center}"]
    task, results = with_answers(prepare, lambda data: data.test.targets, *words)
    assert results["test/loss"] == 0 and results["test/mae"] < 1e-4
    task, results = with_answers(prepare, lambda data: torch.zeros_like(data.test.targets), *words)
    if center == "true":  # no change from the last value
        assert results["test/mae"] == pytest.approx(task.baselines()["last value"]["test/mae"])
    else:
        expected = (task.truth - task.data.scale.mean).abs().mean()
        assert results["test/mae"] == pytest.approx(float(expected))


def test_a_model_that_knows_the_direction_is_taken_for_a_leak(prepare, caplog):
    pytest.importorskip("arch")
    with caplog.at_level(logging.WARNING):
        task, results = with_answers(prepare, lambda data: data.test.targets, "data=returns")
    assert results["test/direction"].value == 1.0
    assert "look for a leak" in caplog.text
    caplog.clear()

    def half_wrong(data):
        answers = data.test.targets.clone()
        answers[: len(answers) // 2, 1] *= -1
        return answers

    with caplog.at_level(logging.WARNING):
        task, results = with_answers(prepare, half_wrong, "data=returns")
    assert 0.45 < results["test/direction"].value < 0.55
    assert "leak" not in caplog.text
    assert list(task.baselines()) == ["always up", "last value", "AR", "ridge", "ETS", "ARIMA", "HAR"]
    assert results["test/mae"] < 1e-8


def test_the_best_checkpoint_of_returns_is_that_of_the_range(prepare):
    """What the second output says of the return changes training, and no loss by which a checkpoint is chosen."""
    pytest.importorskip("arch")

    def wrong_about_the_return(data):
        return data.val.targets * torch.tensor([1.0, -5.0])

    run, _ = prepare("data=returns", "model=deep_lstm")
    answers = Oracle(wrong_about_the_return(run.datamodule))
    assert run.task.evaluate(answers, "val")["val/loss"] == 0
    first = type(run.datamodule.val)(*(part[:8] for part in run.datamodule.val))
    assert float(run.task.loss(Oracle(answers.answers[:8]), first)) > 1


def test_the_mae_has_an_interval_and_those_of_the_baselines_have_too(prepare):
    task, results = with_answers(prepare, lambda data: data.test.targets * 0, "data=series", "data.name=sunspots")
    rows = task.baselines()
    for row in (results, *rows.values()):
        assert row["test/mae_low"] < row["test/mae"] < row["test/mae_high"]


def test_adding_stands_beside_always_1(prepare):
    task, results = with_answers(prepare, lambda data: torch.ones_like(data.test.targets), "data=adding")
    baseline = task.baselines()["always 1"]
    assert results["test/mse"] == pytest.approx(baseline["test/mse"]) == pytest.approx(1 / 6, abs=0.1)
    windows = task.parse_prompt("0.25 0.5* 0.125 0.125*")
    assert windows.targets.tolist() == [[0.625]]
    assert windows.inputs[0].tolist() == [[0.25, 0.0], [0.5, 1.0], [0.125, 0.0], [0.125, 1.0]]
    for text, message in (("0.5 0.1*", "1 numbers are marked"), ("0.5* " * 2 + "0 " * 20, "are too many")):
        with pytest.raises(ValueError, match=message):
            task.parse_prompt(text)


def test_returns_take_no_prompt(prepare):
    pytest.importorskip("arch")
    run, _ = prepare("data=returns", "model=deep_lstm")
    with pytest.raises(ValueError, match="reads the last days of its own data"):
        run.task.parse_prompt("1 2 3")
    assert isinstance(run.task.parse_prompt(""), Windows)


@pytest.mark.parametrize("model", ["binary_lstm", "sine_net"])
def test_a_model_of_another_kind_is_refused(prepare, model):
    with pytest.raises(InputError, match=f"model={model} reads a whole number"):
        prepare("data=series", f"model={model}")


def test_copying_counts_symbols_and_whole_copies(prepare):
    def one_slip(data):
        targets = data.drawn("test", 0, data.num_test)[:, 1]
        answers = torch.nn.functional.one_hot(targets, 10).float() * 50
        answers[0, -1] = answers[0, -1].roll(1)
        return answers

    run, _ = prepare("model=deep_lstm", "data=copy")

    class Said(Oracle):
        def forward(self, inputs):
            return super().forward(inputs).squeeze(1)

    results = run.task.evaluate(Said(one_slip(run.datamodule)), "test")
    count = run.datamodule.num_test
    assert (results["test/symbols"].hits, results["test/symbols"].trials) == (10 * count - 1, 10 * count)
    assert (results["test/copied"].hits, results["test/copied"].trials) == (count - 1, count)
    assert 0 < results["test/loss"] == pytest.approx(50 / (count * 32), rel=1e-3)
    assert run.task.baselines()["no memory"]["test/symbols"] == 1 / 8


def test_prompts_of_copying(prepare):
    run, _ = prepare("model=deep_lstm", "data=copy", "model.dropout=0.9")
    assert run.model.training
    written = [row["written"] for row in run.task.examples(run.model)]
    assert written == [row["written"] for row in run.task.examples(run.model)]  # without dropout
    assert run.model.training
    sequence = run.task.parse_prompt("1 2 3 4 5 6 7 8 1 2")
    drawn = run.datamodule.drawn("test", 0, 1)[:, 0]
    assert sequence.shape == drawn.shape
    assert torch.equal(sequence[:, 10:], drawn[:, 10:])
    for text, message in (("1 2 9", "'9' is not a symbol"), ("1 2 3", "3 symbols: exactly 10")):
        with pytest.raises(ValueError, match=message):
            run.task.parse_prompt(text)
