"""The order of time in a user's file: what is refused, with which line and option, and what the options make of it."""

import numpy as np
import pytest

from forecasting.series import read_rows
from seqlab.errors import InputError


def daily(count=10, start="2020-01-06"):
    """[(day, value)], from a Monday on."""
    return [(str(np.datetime64(start) + day), day) for day in range(count)]


def text(rows, header="Date,v"):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def refused(read, content, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        read(content, **options)
    assert "\n" not in str(caught.value) and "mine.csv" in str(caught.value)


# Order


def test_newest_first_is_refused_and_sorted(read):
    content = text(daily()[::-1])
    message = (
        r"mine.csv, line 3: Date goes back from 2020-01-15 \(line 2\) to 2020-01-14: the newest row comes first; "
        "data.order=sort sorts the rows"
    )
    refused(read, content, message)
    rows = read(content, order="sort")
    assert rows.values[:, 0].tolist() == list(range(10))
    assert rows.lines.tolist() == list(range(11, 1, -1))
    assert rows.account == "by Date; a step is a day; sorted"


def test_one_row_out_of_place(read):
    rows = daily()
    rows[3], rows[6] = rows[6], rows[3]
    refused(read, text(rows), r"line 6: Date goes back from 2020-01-12 \(line 5\) to 2020-01-10; data.order=sort")
    assert read(text(rows), order="sort").values[:, 0].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("Year,v", [str(year) for year in range(1700, 1730)]),
        ("month,v", [f"2020{month:02}" for month in range(1, 13)]),
        ("date,v", [f"202001{day:02}" for day in range(1, 31)]),
        ("Unix Timestamp (s),v", [str(1_600_000_000 + 3600 * hour) for hour in range(30)]),
        ("timestampMs,v", [f"{1e12 + 60_000 * minute:.0f}" for minute in range(30)]),
        ("TIME_PERIOD,v", [f"2020-Q{quarter}" for quarter in range(1, 5)]),
        ("when,v", [f"{month}/2020" for month in range(1, 13)]),
        ("when,v", [f"2020-01-31T{hour:02}:00:00Z" for hour in range(24)]),
        (";v", [f"{day:02}.01.2020" for day in range(1, 31)]),
        ("x;when;v", [f"a;{day} Jan 2020" for day in range(1, 31)]),
    ],
)
def test_times_of_every_kind_are_found(read, header, cells):
    separator = ";" if ";" in header else ","
    lines = [f"{cell}{separator}{value}" for value, cell in enumerate(cells)]
    assert len(read("\n".join([header, *lines])).values) == len(cells)
    refused(read, "\n".join([header, *lines[::-1]]), "line 3: .* goes back from .* the newest row comes first")
    again = read("\n".join([header, *lines[::-1]]), order="sort")
    assert again.values[:, 0].tolist() == list(range(len(cells)))


@pytest.mark.parametrize("name", ["lapse", "response time", "hours", "id", "v2"])
def test_plain_numbers_under_another_name_are_not_taken_for_times(read, name):
    rows = read(text([(5, 1), (3, 2), (4, 3)], f"{name},v"))
    assert rows.values[:, 0].tolist() == [1, 2, 3]
    assert rows.account == "rows as they stand"


def test_parts_of_a_time_are_not_taken_for_times(read):
    """Hours of the day and years of many rows repeat, and a column that never changes says nothing."""
    rows = [(2020, hour % 24, "2021-01-01", hour) for hour in range(100)]
    assert read(text(rows, "year,hour,released,v")).account == "rows as they stand"


def test_several_series_in_one_file_are_refused(read):
    rows = [(country, year, 1) for country in "ABC" for year in range(1990, 2020)]
    refused(read, text(rows, "country,year,v"), "line 32: year goes back from 2019")
    rows.sort(key=lambda row: row[1])
    refused(
        read, text(rows, "country,year,v"), r"line 3: year is 1990 again, as in 1990 \(line 2\) \(the first of 60\)"
    )


def test_the_series_itself_is_not_taken_for_times(tmp_path):
    (tmp_path / "mine.csv").write_text("Year\n2020\n2019\n", encoding="utf-8")
    assert read_rows(tmp_path / "mine.csv", ["Year"]).account == "rows as they stand"


# Which column


def test_several_columns_of_times_are_named(read):
    content = text([("2021-01-01", "2020-01-02", 1), ("2021-02-01", "2020-01-01", 2)], "published,day,v")
    refused(read, content, r"'published' and 'day' can be read as times: .* data.time=published, or none, data.t")
    assert read(content, time="published").values[:, 0].tolist() == [1, 2]
    refused(read, content, "line 3: day goes back", time="day")
    assert read(content, time=()).account == "rows as they stand"


def test_a_day_and_its_hour_in_two_columns(read):
    rows = [(f"2020-01-{day:02}", f"{hour}:00", day * 24 + hour) for day in range(1, 4) for hour in range(24)]
    content = text(rows, "Date,Time,v")
    refused(
        read, content, r"line 3: Date is 2020-01-01 again, as in 2020-01-01 \(line 2\) \(the first of 69\); .*COLUMN"
    )
    assert read(content, time=("Date", "Time")).account == "by Date Time; a step is an hour"
    del rows[30]
    refused(read, text(rows, "Date,Time,v"), "line 32: 1 row missing", time=("Date", "Time"))


def test_year_month_day_hour_in_four_columns(read):
    rows = [(2010 + month // 12, 1 + month % 12, 1, 0, 1) for month in range(30)]
    assert read(text(rows, "year,month,day,hour,v"), time=("year", "month")).values.shape == (30, 1)
    rows = [(2010, 1 + day // 31, 1 + day % 31, hour, 1) for day in range(40) for hour in range(24)]
    assert read(text(rows, "year,month,day,hour,v"), time=("year", "month", "day", "hour")).values.shape == (960, 1)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("nothing", "has no column 'nothing'"),
        ("word", "data.time=word: 'a' is not a time"),
        (("Date", "x"), "no column 'x'"),
    ],
)
def test_a_column_that_says_no_time_is_refused(read, time, message):
    refused(read, "Date,word,v\n2020-01-01,a,1\n2020-01-02,b,2\n", message, time=time)


def test_any_numbers_are_times_when_asked(read):
    refused(read, "n,v\n2,1\n1,2\n", "line 3: n goes back from 2", time="n")


@pytest.mark.parametrize("cell", ["2020-02-30", "", "20200110", "soon"])
def test_a_cell_that_is_no_time_is_named(read, cell):
    rows = daily()
    rows[4] = (cell, 4)
    refused(read, text(rows), rf"line 6: Date is '{cell}', not a time in the format of the other rows")


# Day and month


def test_months_written_with_the_day_first_or_the_month_first(read):
    months = [(year, month) for year in (2020, 2021) for month in range(1, 13)]
    for form in ("01/{m:02}/{y}", "{m:02}/01/{y}"):
        rows = [(form.format(y=year, m=month), 1) for year, month in months]
        assert read(text(rows)).account == "by Date; a step is a month"
        del rows[5]
        refused(read, text(rows), r"line 7: 1 row missing between \S*05\S* \(line 6\) and \S*07\S*, a step is a month")


def test_days_that_stay_ambiguous_are_refused(read):
    content = text([("01/02/2020", 1), ("05/03/2020", 2), ("02/07/2020", 3), ("03/07/2020", 3), ("07/12/2020", 3)])
    refused(
        read, content, "line 2: Date is 01/02/2020: day and month, or month and day, is ambiguous; write .* YYYY-MM-DD"
    )


# Given twice


@pytest.mark.parametrize(("repeated", "kept"), [("first", 4), ("last", 40)])
def test_rows_of_one_time_are_refused_and_one_is_kept(read, repeated, kept):
    rows = daily()
    rows.insert(5, (rows[4][0], 40))
    refused(
        read, text(rows), r"line 7: Date is 2020-01-10 again, as in 2020-01-10 \(line 6\); data.repeated=first keeps"
    )
    mended = read(text(rows), repeated=repeated)
    assert mended.values[:, 0].tolist() == [0, 1, 2, 3, kept, 5, 6, 7, 8, 9]
    assert "1 row of a repeated time dropped" in mended.account


def test_a_file_that_was_written_twice(read):
    content = text(daily() + daily())
    refused(read, content, r"line 12: Date goes back from 2020-01-15 \(line 11\) to 2020-01-06; data.order=sort")
    refused(read, content, r"line 12: Date is 2020-01-06 again, as in 2020-01-06 \(line 2\)", order="sort")
    assert read(content, order="sort", repeated="last").lines.tolist() == list(range(12, 22))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.order=up", "^data.order=up: input should be 'refuse' or 'sort'"),
        ("data.gaps=mean", "^data.gaps=mean: input should be 'refuse', 'fill', 'drop' or 'close'"),
        ("data.repeated=mean", "^data.repeated=mean: input should be 'refuse', 'first' or 'last'"),
        ("data.gaps=fill", "^data.gaps=fill belongs to data.csv=FILE"),
    ],
)
@pytest.mark.parametrize("data", ["series", "returns"])
def test_options_that_there_are_not(prepare, data, word, message):
    with pytest.raises(InputError, match=message):
        prepare(f"data={data}", "model=deep_lstm", word)
