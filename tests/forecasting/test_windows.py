"""Splitting by time without a leak, scaling, and windows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forecasting.returns_datamodule import ReturnsDataModule
from forecasting.series_datamodule import SeriesDataModule
from forecasting.windows import fit_scale, origins, seasonal_error, split, windows


@given(st.integers(30, 3000), st.integers(2, 15), st.integers(1, 3))
def test_parts_follow_each_other_and_no_horizon_crosses_a_border(length, window, horizon):
    parts = split(length, window, horizon)
    assert parts["train"].start == window and parts["test"].stop == length
    assert parts["train"].stop == parts["val"].start and parts["val"].stop == parts["test"].start
    for part in parts.values():
        starts = origins(part, horizon)
        assert starts[0] == part.start and starts[-1] + horizon == part.stop


@pytest.mark.parametrize(
    ("length", "window", "horizon", "name"),
    [(20, 14, 1, "train"), (20, 13, 2, "train"), (20, 3, 3, "val"), (100, 3, 30, "val"), (5, 9, 1, "train")],
)
def test_a_series_that_is_too_short_is_refused(length, window, horizon, name):
    message = (
        f"a series of {length} steps is too short: its {name} part .*data.window={window}, data.horizon={horizon}\\)"
    )
    with pytest.raises(ValueError, match=message):
        split(length, window, horizon)


def test_windows_by_hand():
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    scale = fit_scale(values[:4])
    assert scale == pytest.approx((3.75, np.std([1, 2, 4, 8])))
    centred = windows(values, np.array([2, 4]), 2, 2, scale, center=True)
    assert (centred.inputs.squeeze(2) * scale.deviation).tolist() == pytest.approx(
        np.array([[-1, 0], [-4, 0]]), rel=1e-6
    )
    assert (centred.targets * scale.deviation).tolist() == pytest.approx(np.array([[2, 6], [8, 24]]), rel=1e-6)
    assert centred.level.tolist() == [[2.0], [8.0]]
    plain = windows(values, np.array([2]), 2, 1, scale, center=False)
    assert (plain.inputs.squeeze() * scale.deviation + 3.75).tolist() == pytest.approx([1, 2])
    assert plain.level.tolist() == [[3.75]]


def test_a_series_that_never_changes_cannot_be_scaled():
    with pytest.raises(ValueError, match="the training part is 7 throughout"):
        fit_scale(np.full(9, 7.0))


def test_the_unit_of_mase_is_the_seasonal_naive_error_in_training():
    assert seasonal_error(np.array([1.0, 5.0, 2.0, 9.0, 4.0]), 2) == pytest.approx((1 + 4 + 2) / 3)


@pytest.fixture
def made(tmp_path):
    """(kind, number of the first day that is changed, or None) -> a datamodule on 300 random days from a file."""
    rng = np.random.default_rng(0)
    close = np.exp(rng.normal(0, 0.01, 300).cumsum())
    high, low = close * np.exp(rng.uniform(0.001, 0.02, 300)), close * np.exp(-rng.uniform(0.001, 0.02, 300))
    columns = {"High": high, "Low": low, "Close": close}

    def make(kind, changed_from=None):
        written = {name: values.copy() for name, values in columns.items()}
        for values in written.values():
            values[changed_from or 300 :] **= 1.5
        path = tmp_path / "days.csv"
        rows = [
            "High,Low,Close",
            *(",".join(map(repr, map(float, row))) for row in zip(*written.values(), strict=True)),
        ]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        if kind == "series":
            return SeriesDataModule(csv=str(path), column="Close", window=24, horizon=3, seasons=(5,), batch_size=16)
        return ReturnsDataModule(csv=str(path), window=24, batch_size=16)

    return make


@pytest.mark.parametrize("kind", ["series", "returns"])
@pytest.mark.parametrize("part", ["test", "val"])
def test_training_knows_nothing_of_what_comes_after_it(made, kind, part):
    """Other values in the test part, or from the validation part on, change no training batch and no scale."""
    data = made(kind)
    other = made(kind, changed_from=data.parts[part].start)
    assert data.steps_per_epoch == other.steps_per_epoch
    for step in range(data.steps_per_epoch):
        assert all(map(torch.equal, data.train_batch(step), other.train_batch(step)))
    assert (data.deviation, data.naive_error) == (other.deviation, other.naive_error)
    unchanged = part == "test"
    assert all(map(torch.equal, data.val, other.val)) == unchanged
    assert not torch.equal(data.test.inputs, other.test.inputs)


@pytest.mark.parametrize("kind", ["series", "returns"])
def test_an_epoch_has_every_training_window_once(made, kind):
    data = made(kind)
    rows = [row for step in range(data.steps_per_epoch) for row in data.train_batch(step).targets.tolist()]
    assert sorted(rows) == sorted(data.train.targets.tolist())
    following = [
        row for step in range(data.steps_per_epoch) for row in data.train_batch(step + data.steps_per_epoch)[1]
    ]
    assert rows != [row.tolist() for row in following]


def test_what_is_read_ends_where_the_forecast_begins(made):
    data = made("returns")
    start = data.parts["test"].start
    torch.testing.assert_close(data.test.inputs[1, -1], data.test.targets[0])
    ranges, returns = data.ranges[start], data.returns[start]
    units = data.in_units(data.test.targets[:1, :1], data.test.level[:1])
    assert float(units) == pytest.approx(ranges, rel=1e-6)
    assert returns == pytest.approx(np.log(data.prices.close[start] / data.prices.close[start - 1]))


def test_the_test_windows_in_units_are_the_series(made):
    data = made("series")
    start = data.parts["test"].start
    truth = data.in_units(data.test.targets, data.test.level)
    torch.testing.assert_close(truth[4], torch.from_numpy(data.series.values[start + 4 : start + 7]), rtol=1e-6, atol=0)
