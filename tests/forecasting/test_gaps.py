"""Gaps in a user's series: missing rows and cells, steps that are not regular, and what the options make of them."""

import numpy as np
import pytest

from forecasting.series import prices_from_csv
from forecasting.time_order import Mending
from seqlab.errors import InputError
from tests.forecasting.test_time_order import daily, refused, text


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
