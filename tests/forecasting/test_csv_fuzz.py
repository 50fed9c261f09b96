"""No file ends in a traceback: any bytes become a finite series in one order, or are refused in one line."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.series import read_rows
from forecasting.time_order import Mending
from seqlab.errors import InputError

CELLS = st.sampled_from(
    ["", " ", "1", "2.5", "-3e1", "1_0", "1,5", "1e400", "nan", "NA", ".", "x", '"', '"a\nb"', '"1', "\x00", "\u2028",
     "é", "2020", "2021", "20200131", "202013", "2020-01-31", "2020-02-01", "2020-02-30", "31/01/2020", "01/02/2020",
     "01/02/20", "0001-01-01", "9999-12-31 24:00", "9999-12-31T23:59:59.999999Z", "0001-01-01 00:00+14:00", "Jan 2020",
     "2020-01-01 10:00 PM", "May-20", "2020Q4", "2020-W53", "2020-01-01T05:00-99", "-1.7e308", "1.7e308", "5e-324"]
)  # fmt: skip
DAYS = st.integers(0, 40).map(lambda day: str(np.datetime64("2019-12-20") + day))
HOURS = st.integers(0, 10**6).map(lambda minute: str(np.datetime64("2019-12-20T00:00") + 10 * minute))
MONTHS = st.integers(0, 400).map(lambda month: str(np.datetime64("1999-12") + month))
NUMBERS = (st.integers(-(10**6), 10**6) | st.floats(allow_nan=False)).map(repr)
HEADERS = st.lists(
    st.sampled_from(["v", "v", "Date", "time", "Year", "", "w", "Unix Timestamp", '"t\nime"']), max_size=4
)
OPTIONS = st.builds(
    Mending,
    time=st.sampled_from([None, None, None, "Date", "v", "Year", (), ("Date", "time"), "nothing"]),
    order=st.sampled_from(["refuse", "sort"]),
    repeated=st.sampled_from(["refuse", "first", "last"]),
    gaps=st.sampled_from(["refuse", "fill", "drop", "close"]),
)


@st.composite
def nearly_csv(draw):
    """A header and rows, with separators, ends of lines and cells of every kind."""
    separator, end = draw(st.sampled_from([",", ";", "\t", "|"])), draw(st.sampled_from(["\n", "\r\n", "\r", "\r\r\n"]))
    header = draw(HEADERS)
    columns = [draw(st.sampled_from([CELLS, DAYS, HOURS, MONTHS, NUMBERS, DAYS | CELLS])) for _ in header]
    rows = draw(st.lists(st.tuples(*columns) | st.lists(CELLS, max_size=5), max_size=30))
    text = end.join(separator.join(row) for row in [header, *rows])
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"])) + text.encode(errors="surrogatepass")


def holds(path, content, options):
    path.write_bytes(content)
    try:
        rows = read_rows(path, ["v"], options)
    except InputError as error:
        assert str(error) and len(str(error).splitlines()) == 1, repr(str(error))
        assert "mine.csv" in str(error)
        return
    assert len(rows.values) == len(rows.lines) == len(rows.filled) >= 1
    assert np.isfinite(rows.values).all()
    assert len(rows.account.splitlines()) == 1
    assert rows.filled.any() <= (options.gaps == "fill")
    assert not rows.filled[0]
    for row in np.flatnonzero(rows.filled):
        assert rows.values[row] == rows.values[row - 1]
    told = rows.lines[~rows.filled]
    assert len(set(told)) == len(told)
    if options.order == "refuse":
        assert (np.diff(told) > 0).all()


ANY = st.binary(max_size=200) | st.binary(max_size=200).map(lambda raw: b"v\n1\n" + raw) | nearly_csv()


@pytest.mark.parametrize("examples", [60, pytest.param(5_000, marks=pytest.mark.slow)])
def test_any_file_is_read_or_refused(tmp_path, examples):
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ANY, OPTIONS)
    def example(content, options):
        holds(tmp_path / "mine.csv", content, options)

    example()


@given(st.permutations(range(30)), st.sets(st.integers(1, 28), max_size=9))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_sorted_and_filled_is_the_series_whatever_the_order_of_its_rows(tmp_path, order, absent):
    """Of any rows but the first and the last, in any order. With nine absent, most steps are still an hour."""
    hours = [f"{np.datetime64('2020-02-28T20', 'h') + step},{step}" for step in order if step not in absent]
    (tmp_path / "mine.csv").write_text("\n".join(["hour,v", *hours]), encoding="utf-8")
    rows = read_rows(tmp_path / "mine.csv", ["v"], Mending(order="sort", gaps="fill"))
    expected = np.arange(30.0)
    for step in sorted(absent):
        expected[step] = expected[step - 1]
    assert rows.values[:, 0].tolist() == expected.tolist()
    assert set(np.flatnonzero(rows.filled)) == absent
