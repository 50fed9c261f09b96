"""Times as files write them."""

import numpy as np
import pytest

from forecasting.dates import readings

WRITTEN = {
    "2020-01-31": "2020-01-31T00:00",
    "2020/1/31": "2020-01-31T00:00",
    "2020.01.31": "2020-01-31T00:00",
    "2020 1 31": "2020-01-31T00:00",
    "2020 1 31 5": "2020-01-31T05:00",
    "31.01.2020": "2020-01-31T00:00",
    "1/31/2020": "2020-01-31T00:00",
    "31-1-68": "2068-01-31T00:00",
    "31-1-69": "1969-01-31T00:00",
    "31-Jan-20": "2020-01-31T00:00",
    "31 January 2020": "2020-01-31T00:00",
    "Jan 31, 2020": "2020-01-31T00:00",
    "Sept. 30, 2020": "2020-09-30T00:00",
    "2020-01": "2020-01-01T00:00",
    "2020M11": "2020-11-01T00:00",
    "2020-M11": "2020-11-01T00:00",
    "11/2020": "2020-11-01T00:00",
    "Nov 2020": "2020-11-01T00:00",
    "Nov-20": "2020-11-01T00:00",
    "2020 NOV": "2020-11-01T00:00",
    "2020Q3": "2020-07-01T00:00",
    "2020-Q3": "2020-07-01T00:00",
    "Q3 2020": "2020-07-01T00:00",
    "2020-W05": "2020-01-27T00:00",
    "2020-01-31T10:20": "2020-01-31T10:20",
    "2020-01-31 10:20:30.123456789": "2020-01-31T10:20:30.123456",
    "1/31/2020 12:05 AM": "2020-01-31T00:05",
    "1/31/2020 1:05:07 PM": "2020-01-31T13:05:07",
    "2020-12-31 24:00": "2021-01-01T00:00",
}
NO_TIMES = [
    "", "x", "2.5", "12:00", "1", "2020", "20200131", "1.2.3.4", "2020-13", "2020-02-30", "2020-01-31 25:00", "2020Q5",
    "2020-01-31 13:00 PM", "2020-01-31 10:61", "2020-01/31", "0000-01-01", "Foo 2020", "2020-W60", "9999-12-31 24:00",
    "٢٠٢٠-٠١-٣١", "2020-01-31 10:00+99:00", "2020-01-31\n",
]  # fmt: skip


@pytest.mark.parametrize(("cell", "time"), WRITTEN.items())
def test_times_are_read(cell, time):
    assert {str(way[0]) for way in readings([cell])} == {str(np.datetime64(time, "us"))}


@pytest.mark.parametrize("cell", NO_TIMES)
def test_what_is_no_time(cell):
    assert readings([cell]) == []


@pytest.mark.parametrize(
    ("cells", "days"),
    [
        (["13/01/2020", "01/02/2020", "03/02/2020"], ["2020-01-13", "2020-02-01", "2020-02-03"]),
        (["01/13/2020", "02/01/2020", "02/03/2020"], ["2020-01-13", "2020-02-01", "2020-02-03"]),
    ],
)
def test_the_whole_column_says_where_the_month_is(cells, days):
    (way,) = readings(cells)
    assert way.astype("datetime64[D]").astype(str).tolist() == days


def test_where_it_does_not_there_are_two_ways():
    first, second = readings(["01/02/2020", "03/04/2020"])
    assert first.astype("datetime64[D]").astype(str).tolist() == ["2020-02-01", "2020-04-03"]
    assert second.astype("datetime64[D]").astype(str).tolist() == ["2020-01-02", "2020-03-04"]


def test_one_wrong_cell_does_not_make_a_column_of_words():
    (way,) = readings(["2020-01-31", "2020-02-30", "2020-03-01"])
    assert np.isnat(way).tolist() == [False, True, False]
    assert readings(["2020-01-31", "a", "b"]) == []


def test_hours_with_zones_stand_on_one_clock():
    (way,) = readings(["2020-10-25T02:00+02:00", "2020-10-25T02:00:00+01:00", "2020-10-25 03:00+0100"])
    assert np.diff(way).astype("timedelta64[h]").astype(int).tolist() == [1, 1]
    (way,) = readings(["2020-01-01T05:00Z", "2020-01-01T05:00 UTC", "2020-01-01T04:00-01"])
    assert len(set(way)) == 1


def test_days_with_zones_are_days_of_the_calendar():
    """As a library writes New York's midnights, 23, 24 or 25 hours apart."""
    (way,) = readings(["2020-03-07 00:00:00-05:00", "2020-03-08 00:00:00-05:00", "2020-03-09 00:00:00-04:00"])
    assert np.diff(way).astype("timedelta64[h]").astype(int).tolist() == [24, 24]


def test_a_zone_in_some_cells_only_cannot_be_compared():
    (way,) = readings(["2020-01-01 01:00Z", "2020-01-01 02:00", "2020-01-01 03:00Z"])
    assert np.isnat(way).tolist() == [False, True, False]
    (way,) = readings(["2020-01-01 01:00", "2020-01-01 02:00Z", "2020-01-01 03:00"])
    assert np.isnat(way).tolist() == [False, True, False]


def test_plain_numbers_are_times_only_when_asked():
    assert readings(["202001", "202002"]) == readings(["20200131"]) == []
    assert str(readings(["202001", "202002"], plain=True)[0][1]) == "2020-02-01T00:00:00.000000"
    assert str(readings(["20200131"], plain=True)[0][0]) == "2020-01-31T00:00:00.000000"
    assert readings(["202013"], plain=True) == readings(["1700"], plain=True) == readings(["999999"], plain=True) == []
