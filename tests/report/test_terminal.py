"""The tables of many runs in a real terminal: of seqlab.report, and at the end of a sweep."""

import sys
from collections import Counter

import pytest

from seqlab.report.__main__ import main
from seqlab.report.sweep import conclude
from seqlab.show.layout import NARROW
from seqlab.show.table import number
from tests.terminal import STYLES, in_terminal

WIDTHS = (50, 60, 80, 100, 120, 200)
COLUMNS = {f"measured in way {place}": f"test/{place}" for place in range(9)}
VALUES = {f"test/{place}": 10.0**place for place in range(9)}


@pytest.fixture
def runs(leave, tmp_path):
    """A folder of runs with nine metrics, of models with long settings; one has failed."""
    for place, rate in enumerate((0.1, 0.25)):
        values = {metric: value * (place + 1) for metric, value in VALUES.items()}
        more = {"columns": COLUMNS, "better": {}, "baselines": {"5-gram of characters (Kneser-Ney)": VALUES}}
        config = {"optimizer": {"lr": rate}, "model": {"a_long_key": f"value{place}"}}
        leave(f"run{place}", "transformer", metrics=values, config=config, **more)
    leave("failed", status="failed", reason="the loss is nan at step 3 and has been [so] before", metrics={})
    return tmp_path / "runs"


@pytest.fixture
def shown(monkeypatch):
    """(columns, work) -> the lines that `work` prints in a terminal of so many columns, without styles."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def shown_at(columns, work):
        def with_stdout(file):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "stdout", file)
                work()

        return [line.rstrip() for line in STYLES.sub("", in_terminal(columns, with_stdout)).splitlines()]

    return shown_at


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_report_shows_every_metric_and_breaks_no_number_and_no_name(runs, shown, columns):
    lines = shown(columns, lambda: main([str(runs)]))
    words = Counter(" ".join(lines).split())
    for value in VALUES.values():
        assert words[number(value)] >= 2  # of the first run and of the baseline
        assert words[number(2 * value)] >= 1
    parts = 1 if columns < NARROW else sum(line.startswith("data ") for line in lines)
    assert (parts > 1) == (NARROW <= columns < 200)
    for word in ("optimizer.lr=0.1", "optimizer.lr=0.25", "model.a_long_key=value1", "(Kneser-Ney)", "transformer"):
        assert words[word] >= parts
    assert {str(runs / "failed"), "failed", "[so]"} <= set(words)
    assert all(len(line) <= columns or line.strip() == str(runs / "failed") for line in lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_sweep_ends_in_the_table_of_the_report(runs, shown, capsys, columns):
    ended = []
    lines = shown(columns, lambda: ended.append(conclude(runs)))
    assert ended == [3]
    assert capsys.readouterr().err.splitlines()[0].startswith("failed: ")
    report = shown(columns, lambda: main([str(runs)]))
    assert lines[:-1] == report[: len(lines) - 1]
    assert lines[-1] == f"sweep directory: {runs}"
    assert "transformer" in " ".join(lines)
    assert not any("|" in line for line in lines)


def test_a_sweep_that_is_piped_ends_in_a_table_of_whole_lines(runs, capsys):
    conclude(runs)
    out = capsys.readouterr().out
    (row,) = (line for line in out.splitlines() if "optimizer.lr=0.25" in line)
    assert row.split()[:4] == ["L1", "transformer", "model.a_long_key=value1", "optimizer.lr=0.25"]
    assert row.split()[-9:] == [number(2 * value) for value in VALUES.values()]
    assert "\x1b" not in out
