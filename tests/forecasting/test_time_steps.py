"""The regular step of a series, and what is missing."""

import numpy as np
import pytest

from forecasting.time_steps import steps


def days(start, stop, step=1, unit="D"):
    return np.arange(np.datetime64(start, unit), np.datetime64(stop, unit), step).astype("datetime64[us]")


def working(days, weekdays):
    """Days on some weekdays, 0 for Monday."""
    return days[np.isin((days.astype("datetime64[D]").astype(int) + 3) % 7, weekdays)]


REGULAR = {
    "a day": days("2019-11-01", "2020-03-31"),
    "a day without Saturday and Sunday": working(days("2019-01-01", "2020-03-31"), range(5)),
    "a day without Friday and Saturday": working(days("2019-01-01", "2020-03-31"), [0, 1, 2, 3, 6]),
    "a day without Sunday": working(days("2019-01-01", "2020-03-31"), range(6)),
    "a week": days("2019-01-01", "2020-12-31", 7),
    "10 days": days("2019-01-01", "2020-12-31", 10),
    "60 days": days("2019-01-01", "2029-12-31", 60),
    "a month": days("2018-01", "2020-12", unit="M"),
    "a quarter": days("2018-01", "2023-12", 3, unit="M"),
    "a year": days("1900", "2020", unit="Y"),
    "10 years": days("1900", "2020", 10, unit="Y"),
    "an hour": days("2020-01-01", "2020-01-09", unit="h"),
    "30 minutes": days("2020-01-01T00", "2020-01-09T00", 30, unit="m"),
    "15 seconds": days("2020-01-01T00", "2020-01-01T02", 15, unit="s"),
    "0.1 seconds": days("2020-01-01T00:00:00", "2020-01-01T00:00:09", 100, unit="ms"),
    "1": np.arange(1700.0, 1800.0),
    "0.1": np.arange(100) / 10,
    "3600": 1.6e9 + 3600 * np.arange(100.0),
}


@pytest.mark.parametrize(("name", "moments"), REGULAR.items())
def test_regular_series_have_no_gap(name, moments):
    found = steps(moments)
    assert found.name == name
    assert (found.taken == 1).all()


@pytest.mark.parametrize(("name", "moments"), REGULAR.items())
def test_missing_rows_are_counted_where_they_are(name, moments):
    found = steps(np.delete(moments, [5, 8, 9, 10]))
    assert found.name == name
    assert {place: missing for place, missing in enumerate(found.missing.tolist()) if missing} == {4: 1, 6: 3}


def test_ends_of_months_and_their_last_working_days_are_months():
    ends = days("2018-02", "2022-01", unit="M").astype("datetime64[D]") - 1
    for last in (ends, np.busday_offset(ends, 0, roll="backward")):
        found = steps(last.astype("datetime64[us]"))
        assert found.name == "a month" and (found.taken == 1).all()
        assert steps(np.delete(last, 7).astype("datetime64[us]")).missing[6] == 1


def test_a_rare_saturday_makes_no_working_week_of_six_days():
    moments = np.union1d(working(days("2019-01-01", "2020-12-31"), range(5)), days("2020-02-01", "2020-02-02"))
    found = steps(moments)
    assert found.name == "a day without Saturday and Sunday"
    assert found.missing.sum() == 0 and (found.taken == 0).sum() == 1


def test_clocks_that_are_not_exact_have_a_step_all_the_same():
    moments = days("2020-01-01T00", "2020-01-02T00", 600, unit="s") + np.random.default_rng(0).integers(-20, 20, 144)
    assert (steps(moments).taken == 1).all()
    assert steps(np.delete(moments, 7)).missing[6] == 1


def test_closing_times_in_another_zone_are_days():
    """16:00 in New York, in universal time, when clocks change on a Wednesday."""
    moments = days("2020-03-02", "2020-03-14") + np.where(np.arange(12) < 3, 21, 20) * np.timedelta64(1, "h")
    found = steps(working(moments, range(5)))
    assert found.name == "a day without Saturday and Sunday" and (found.taken == 1).all()


def test_times_without_a_step_are_not_regular():
    moments = np.cumsum(np.random.default_rng(1).exponential(size=300))
    assert 2 * steps(moments).num_regular < 300


@pytest.mark.parametrize("moments", [np.array([1.0]), np.array([-1.7e308, 1.7e308]), np.array([0, 5e-324, 1e300])])
def test_numbers_at_the_ends_of_their_range_have_steps(moments):
    assert len(steps(moments).taken) == len(moments) - 1
