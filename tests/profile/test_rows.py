"""Files of rows: written and read, and what is refused of a stranger's."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from seqlab.errors import InputError
from seqlab.profile.rows import COLUMNS, REFERENCE, SCHEMA, Row, one_line, read_rows, refuse_others, write_rows
from seqlab.profile.suite import suite_named, suites

ROW = Row(
    schema=SCHEMA, suite="quick", suite_version=2, cell="parity", ability="state", metric="test/1-40/last",
    model="mine", options="", seed=1, budget=30000, parameters=29000, steps=1000, targets=1_294_784, rate=1e-3,
    value=0.75, low=0.7, high=0.8, floor=0.5, shortcut="chance", best=1.0, optimum="oracle", score=0.5,
    curve="1:1 40:0.5", seconds=3.5, version="0.3.0", machine="a, b",
)  # fmt: skip
EMPTY = replace(ROW, value=None, low=None, high=None, score=None, curve="", reason="refused")


@pytest.fixture
def text(tmp_path):
    """(rows) -> the text of their file, by column names to change."""

    def written(*rows):
        write_rows(tmp_path / "rows.csv", rows)
        return (tmp_path / "rows.csv").read_text(encoding="utf-8")

    return written


@pytest.fixture
def refused(tmp_path):
    """The text of a file -> why it is refused."""

    def message(text):
        (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as caught:
            read_rows(tmp_path / "bad.csv")
        return str(caught.value)

    return message


def test_rows_survive_a_file(tmp_path):
    empty = replace(EMPTY, seed=2)
    write_rows(tmp_path / "a" / "rows.csv", [ROW, empty])
    assert read_rows(tmp_path / "a" / "rows.csv") == [ROW, empty]
    assert ROW.points == [(1, 1.0), (40, 0.5)]
    assert ROW.bounds == pytest.approx((0.5, 0.4, 0.6))


def test_an_interval_of_a_metric_that_should_be_low_turns_round():
    row = replace(ROW, value=0.2, low=0.1, high=0.4, floor=1.0, best=0.0, score=0.8)
    assert row.bounds == pytest.approx((0.8, 0.6, 0.9))


def test_own_rows_can_be_read_back_where_the_scale_is_short(tmp_path):
    scale = {"floor": 5.5451774, "best": 5.5441774, "low": None, "high": None}
    row = replace(ROW, value=5.5446214, score=(5.5446214 - 5.5451774) / (5.5441774 - 5.5451774), **scale)
    write_rows(tmp_path / "rows.csv", [row])
    assert read_rows(tmp_path / "rows.csv") == [row]


def test_a_measure_that_is_there_twice_is_refused(text, refused):
    assert "line 3: test/1-40/last of mine again; line 2 has it" in refused(text(ROW, replace(ROW, value=0.75)))


def with_cell(text, column, value):
    """The text of a file with one cell of its first row changed. No cell before `machine` has a comma."""
    heading, line, *rest = text.splitlines()
    cells = line.split(",")
    cells[COLUMNS.index(column)] = value
    return "\n".join([heading, ",".join(cells), *rest]) + "\n"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("schema", "2", "line 2: schema 2: this version reads schema 1"),
        ("seed", "one", "line 2: seed 'one'"),
        ("ability", "wit", "line 2: ability 'wit'"),
        ("value", "nan", "value nan: a finite number is needed"),
        ("score", "0.9", "score 0.9: value, floor and best give 0.5000"),
        ("best", "0.5", "floor and best are both 0.5"),
        ("floor", "", "a value needs floor, best and score"),
        ("value", "", "a row without a value has no score, and a reason"),
        ("curve", "1:inf", "curve inf: a finite number is needed"),
        ("curve", "1:x", "curve '1:x': allowed: LENGTH:VALUE"),
        ("model", "", "model"),
        ("model", "=cmd()", "model '=cmd()': begins as a formula"),
        ("version", "@SUM(A1)", "version '@SUM(A1)': begins as a formula"),
        ("options", "+=1+1", "options '+=1+1': begins as a formula"),
        ("widths", "-1+1", "widths '-1+1': begins as a formula"),
        ("curve", "=1:1", "curve '=1:1': begins as a formula"),
        ("curve", "9" * 9000 + ":1", "allowed: LENGTH:VALUE"),
        ("parameters", "-5", "parameters '-5'"),
        ("targets", "0", "targets '0'"),
        ("seconds", "inf", "seconds inf: a finite number is needed"),
        ("model", "\x1b[31mred", "model '\\x1b[31mred': a character that is not printable"),
        ("version", "x" * 1001, "version has 1,001 characters; allowed: 1,000"),
        ("low", "0.76", "value 0.75: not between low 0.76 and high 0.8"),
        ("high", "0.7", "value 0.75: not between low 0.7 and high 0.7"),
        ("high", "1e308", "a bound inf; allowed: up to 1e+06"),
        ("high", "1e7", "allowed: up to 1e+06"),
        ("steps", "", "a value needs steps and parameters"),
        ("parameters", "", "a value needs steps and parameters"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_line(text, refused, column, value, said):
    assert said in refused(with_cell(text(ROW), column, value))


def test_what_is_no_file_or_too_large_is_not_read(tmp_path):
    fifo, huge = tmp_path / "fifo.csv", tmp_path / "huge.csv"
    os.mkfifo(fifo)
    with open(huge, "wb") as file:
        file.truncate(2**26 + 1)
    for file, said in ((fifo, "is no file"), (tmp_path, "is no file"), (Path("/dev/zero"), "is no file"),
                       (huge, "67,108,865 bytes; a file of rows has at most 67,108,864")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            read_rows(file)


def test_own_overrides_and_reasons_are_no_formulas(tmp_path):
    rows = [replace(ROW, options="+model.new=1"), replace(EMPTY, seed=2, reason=one_line("-=+1 is no width"))]
    write_rows(tmp_path / "rows.csv", rows)
    assert read_rows(tmp_path / "rows.csv") == rows
    assert rows[1].reason == "it says -=+1 is no width"


def test_another_schema_is_refused_with_the_difference(text, refused):
    good = text(ROW)
    assert "'rating' is no column" in refused(good.replace("score", "rating", 1))
    assert "it lacks reason" in refused(good.replace(",reason", "", 1))
    assert "27 cells; there are 28 columns" in refused(good.rstrip().rpartition(",")[0] + "\n")
    assert "in this order" in refused(good.replace("schema,suite", "suite,schema", 1))
    assert "is no file of rows" in refused("kind,data\nrun,L5\n")
    assert "is no file of rows" in refused("")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite_version": 1}, "of suite quick 1; here it is quick 2"),
        ({"suite": "standard"}, "of suite standard 2; here it is quick 2"),
        ({"budget": 60000}, "a budget of 60,000 parameters; suite quick has 30,000"),
        ({"steps": 5000}, "5000 steps; suite quick has 1000"),
        ({"targets": 9_000_000}, "9,000,000 targets; suite quick has 1,320,000 there"),
        ({"seed": 77}, "seed 77; suite quick has 1"),
        ({"parameters": 90_001}, "90,001 parameters; allowed: 3 times the budget"),
        ({"cell": "chess"}, "suite quick has no test/1-40/last for state there"),
        ({"metric": "test/loss"}, "suite quick has no test/loss for state there"),
    ],
)
def test_rows_of_another_suite_or_budget_do_not_stand_beside_ours(tmp_path, change, said):
    suite = suite_named("quick")
    refuse_others([ROW, EMPTY], "quick", suite, tmp_path)
    with pytest.raises(InputError, match=said):
        refuse_others([replace(ROW, **change)], "quick", suite, tmp_path)


def test_the_rows_of_the_package_fit_its_suites():
    rows = read_rows(REFERENCE)
    for name in suites():
        refuse_others([row for row in rows if row.suite == name], name, suite_named(name), REFERENCE)
    assert {row.suite for row in rows} <= set(suites())
    assert len({(*row.run, row.suite, row.metric) for row in rows}) == len(rows)
