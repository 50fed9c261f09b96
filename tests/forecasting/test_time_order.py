"""The order of time in a user's file: what is refused, with which line and option, and what the options make of it."""

import numpy as np
import pytest

from forecasting.series import prices_from_csv, read_rows
from forecasting.time_order import Mending
from seqlab.errors import InputError


@pytest.fixture
def read(tmp_path):
    """(text of a file, options) -> the rows of its column v."""

    def rows(text, **options):
        path = tmp_path / "mine.csv"
        path.write_text(text, encoding="utf-8")
        return read_rows(path, ["v"], Mending(**options))

    return rows


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


# Missing


def test_missing_days_are_refused_and_mended(read):
    rows = daily(60)
    del rows[20:50]
    message = (
        r"line 22: 30 rows missing between 2020-01-25 \(line 21\) and 2020-02-25, a step is a day \(in all "
        r"30 in 1 place, at most 30 at once\); "
        "data.gaps=close treats .* fill repeats .* drop keeps"
    )
    refused(read, text(rows), message)
    assert read(text(rows), gaps="close").values[:, 0].tolist() == [*range(20), *range(50, 60)]
    dropped = read(text(rows), gaps="drop")
    assert dropped.values[:, 0].tolist() == list(range(20))
    assert "10 of 30 rows dropped, to keep the longest stretch" in dropped.account
    filled = read(text(rows), gaps="fill")
    assert filled.values[:, 0].tolist() == [*range(20), *[19] * 30, *range(50, 60)]
    assert np.flatnonzero(filled.filled).tolist() == list(range(20, 50))


def test_what_is_filled_knows_nothing_of_later_rows(read):
    rows = daily(20)
    del rows[10:13]
    before = read(text(rows), gaps="fill").values[:13]
    rows[10:] = [(day, value * 100) for day, value in rows[10:]]
    assert np.array_equal(read(text(rows), gaps="fill").values[:13], before)


def test_weekends_are_no_gaps_and_holidays_are(read):
    rows = [row for row in daily(40) if np.is_busday(row[0])]
    assert read(text(rows)).account == "by Date; a step is a day without Saturday and Sunday"
    del rows[7], rows[15]
    message = (
        r"line 9: 1 row missing between 2020-01-14 .*Saturday and Sunday \(in all 2 in 2 places, at most 1 at once\)"
    )
    refused(read, text(rows), message)
    assert "gaps closed: 2 in 2 places, at most 1 at once" in read(text(rows), gaps="close").account


def test_cells_without_a_value_are_gaps(read):
    rows = [(day, "" if value in (4, 5) else value) for day, value in daily()]
    refused(read, text(rows), r"line 6: v has a gap \(the first of 2\); data.gaps=close")
    assert read(text(rows), gaps="fill").values[:, 0].tolist() == [0, 1, 2, 3, 3, 3, 6, 7, 8, 9]
    assert read(text(rows), gaps="close").values[:, 0].tolist() == [0, 1, 2, 3, 6, 7, 8, 9]
    assert read(text(rows), gaps="drop").values[:, 0].tolist() == [0, 1, 2, 3]


def test_a_blank_line_is_a_gap(read):
    content = "v\n1\n2\n\n4\n5\n6\n\n\n"
    refused(read, content, r"line 4: a blank line is a gap; data.gaps=close")
    assert read(content, gaps="fill").values[:, 0].tolist() == [1, 2, 2, 4, 5, 6]
    assert read(content, gaps="drop").values[:, 0].tolist() == [4, 5, 6]
    assert read(content, gaps="close").values[:, 0].tolist() == [1, 2, 4, 5, 6]


def test_a_blank_line_between_successive_days_is_refused_too_and_makes_no_row(read):
    lines = text(daily()).splitlines()
    lines.insert(5, "")
    refused(read, "\n".join(lines), "line 6: a blank line is a gap")
    assert read("\n".join(lines), gaps="fill").values[:, 0].tolist() == list(range(10))


def test_rows_without_a_value_at_the_ends_are_cut(read):
    rows = [(day, "" if value in (0, 1, 9) else value) for day, value in daily()]
    assert read(text(rows), gaps="fill").values[:, 0].tolist() == [2, 3, 4, 5, 6, 7, 8]


def test_filling_more_than_there_is_is_refused(read):
    content = text([("0001-01-01", 1), ("0001-01-02", 2), ("0001-01-03", 2), ("9999-01-01", 3)])
    refused(read, content, "data.gaps=fill would add 2,086,680 rows to 4", gaps="fill")


def test_rows_at_no_regular_step(read):
    days = np.datetime64("2020-01-01T00:00", "m") + np.random.default_rng(3).choice(9999, 50, replace=False)
    content = text([(day, 1) for day in np.sort(days)])
    for gaps in ("refuse", "fill", "drop"):
        refused(read, content, "Date has no regular step: most are not .*; data.gaps=close", gaps=gaps)
    assert len(read(content, gaps="close").values) == 50


def test_a_row_between_two_steps(read):
    rows = [(f"2020-01-01 {hour:02}:00", hour) for hour in range(20)]
    rows.insert(6, ("2020-01-01 05:10", 99))
    message = r"line 8: 2020-01-01 05:10 is less than one step \(an hour\) after 2020-01-01 05:00 \(line 7\)"
    refused(read, text(rows), message)
    refused(read, text(rows), message, gaps="fill")
    assert read(text(rows), gaps="drop").values[:, 0].tolist() == [99, *range(6, 20)]


def test_when_clocks_change(read):
    """Local hours without a zone: one hour comes twice in autumn, one never in spring."""
    autumn = [f"2020-10-25 {hour:02}:00" for hour in (0, 1, 2, 2, 3, 4, 5)]
    refused(read, text([(hour, 1) for hour in autumn]), "line 5: Date is 2020-10-25 02:00 again")
    spring = [f"2020-03-29 {hour:02}:00" for hour in (0, 1, 3, 4, 5)]
    refused(read, text([(hour, 1) for hour in spring]), "line 4: 1 row missing")


# What a run makes of it


def test_prices_of_trading_days(tmp_path):
    path = tmp_path / "prices.csv"
    rows = [(day, 2 + value / 9, 1, 1.5 + value / 9) for day, value in daily(20) if np.is_busday(day)]
    del rows[4]
    path.write_text(text(rows[::-1], "Date,High,Low,Close"), encoding="utf-8")
    with pytest.raises(InputError, match="line 3: Date goes back"):
        prices_from_csv(path)
    with pytest.raises(InputError, match="line 11: 1 row missing"):
        prices_from_csv(path, Mending(order="sort"))
    prices = prices_from_csv(path, Mending(order="sort", gaps="close"))
    assert (np.diff(prices.close) > 0).all()
    assert "sorted; gaps closed: 1 in 1 place, at most 1 at once" in prices.description


def test_the_title_of_a_run_says_what_was_done(prepare, tmp_path):
    rows = [row for row in daily(300) if row[1] not in (100, 101, 280)]
    (tmp_path / "mine.csv").write_text(text([(day, value % 7) for day, value in rows[::-1]]), encoding="utf-8")
    words = ["data=series", "model=deep_lstm", f"data.csv={tmp_path}/mine.csv", "data.column=v", "data.order=sort"]
    with pytest.raises(InputError, match=r"line 198: 2 rows missing .* \(in all 3 in 2 places"):
        prepare(*words)
    run, _ = prepare(*words, "data.gaps=fill", "data.time=Date")
    account = "by Date; a step is a day; sorted; 3 missing filled with the value before"
    assert f"v of {tmp_path}/mine.csv ({account}): 300 steps, 3 of them filled, 1 in the test part," in run.task.title()
    prepare(*words, "data.gaps=close", "data.time=[Date]", "data.repeated=last")


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
