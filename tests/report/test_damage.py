"""What a damaged run of somebody else holds: the report leaves it out, and shows all the rest."""

import json
import os
import re

import pytest

from seqlab.report.__main__ import main
from seqlab.report.collect import plots_of, read_run
from seqlab.report.page_runs import predictions_of


@pytest.fixture
def written(tmp_path):
    """The page on the runs of tmp_path / runs, and what its script reads."""

    def text():
        file = tmp_path / "a.html"
        assert main([str(tmp_path / "runs"), "--out", str(file)]) == 0
        page = file.read_text(encoding="utf-8")
        return page, json.loads(page.partition('id="data">')[2].partition("</script>")[0])

    return text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1" + "0" * 400])
@pytest.mark.parametrize("place", ["metrics", "intervals", "baselines", "seconds"])
def test_a_number_that_is_none_in_a_summary_is_left_out(leave, written, place, number):
    run = leave("1", metrics={"test/accuracy": 0.5, "test/share_by_length/2": 0.5, "test/share_by_length/3": 0.25})
    leave("2", seed=2)
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    parts = {
        "metrics": {"test/accuracy": "?", "test/share_by_length/2": "?"},
        "intervals": {"test/accuracy": [0, "?"]},
        "baselines": {"chance": {"test/accuracy": "?"}},
        "seconds": "?",
    }
    text = json.dumps(summary | {place: parts[place]}).replace('"?"', number)
    (run / "summary.json").write_text(text, encoding="utf-8")
    page, data = written()
    assert len(data["runs"]) + page.count('data-sort="unreadable"') == 2  # a whole number is no float: it may be named


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_points_that_are_no_numbers_are_left_out(leave, written, number):
    leave("1", losses=(3.0, number, 1.0))
    leave("2", seed=2, losses=(number, number))
    _, data = written()
    assert [run["curves"]["val/loss"] for run in data["runs"]] == [[[0, 3.0], [2, 1.0]], []]


def test_text_that_utf8_has_no_bytes_for_is_replaced(leave, written, tmp_path):
    run = leave("1")
    (run / "predictions.jsonl").write_text('{"prompt": "\\ud800a", "completion": "b"}', encoding="utf-8")
    named = tmp_path / "runs" / os.fsdecode(b"bad\xff")
    leave("2", seed=2).rename(named)
    _, data = written()
    assert {run["href"] for run in data["runs"]} == {"runs/1/", "runs/bad%FF/"}
    assert data["runs"][0]["predictions"]["rows"] == [["\ufffda", "b"]]


def test_marks_point_into_texts_that_are_whole(leave):
    run = leave("1")
    long = {"prompt": "a" * 900, "completion": "b" * 900, "broken": [{"rule": "r", "at": 1000}], "note": "c" * 900}
    (run / "predictions.jsonl").write_text(json.dumps(long), encoding="utf-8")
    ((prompt, completion, note),) = predictions_of(run, 9)["rows"]
    assert (len(prompt), len(completion)) == (900, 900) and len(note) < 500


@pytest.mark.parametrize(("prompt", "blank"), [([1, 2], " "), ("To be or", "")])
def test_a_blank_stands_between_lists_alone(leave, prompt, blank):
    run = leave("1")
    record = {"prompt": prompt, "completion": prompt}
    (run / "predictions.jsonl").write_text(json.dumps(record), encoding="utf-8")
    assert predictions_of(run, 9)["blank"] == blank


def test_a_figure_is_a_file(leave, written):
    run = leave("1")
    (run / "plots" / "folder.png").mkdir()
    os.mkfifo(run / "plots" / "pipe.svg")
    found = read_run(run)
    assert [file.name for file in plots_of(found)] == ["forecast.png", "learning_curves.png"]
    page, _ = written()
    assert len(re.findall("<img ", page)) == 1
