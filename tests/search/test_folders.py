"""Where a study lies: folders of any name, files that are no study, or are damaged, or locked."""

import sqlite3
from contextlib import closing

import pytest

pytest.importorskip("optuna")
from seqlab.search.study import stored


def trials(folder):
    return [(trial.params, trial.value) for trial in stored(folder, "plan").trials]


@pytest.mark.parametrize("name", ["a b", "x%20y", "x%y", "q?mode=ro", "h#1", "{0}", "été", "a=1,b=2"])
def test_a_study_may_lie_in_any_folder(search, tmp_path, name):
    code, _, err = search("search.num_trials=2", folder=name)
    assert (code, err) == (0, "")
    assert (tmp_path / name / "study.db").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {name, "plan.yaml", "run.py"}
    assert len(trials(tmp_path / name)) == 2


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"x" * 5000, "folder", "tables"])
def test_a_file_that_is_no_study_is_refused_in_one_line(search, tmp_path, content):
    file = tmp_path / "study" / "study.db"
    file.parent.mkdir()
    if content == "folder":
        file.mkdir()
    elif content == "tables":
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE studies (x)")
            database.execute("CREATE TABLE version_info (x)")
    else:
        file.write_bytes(content)
    code, out, err = search()
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {file}: ")
    assert isinstance(content, str) or file.read_bytes() == content


@pytest.mark.slow
def test_a_study_that_another_program_has_locked_says_so(search, tmp_path):
    assert search("search.num_trials=2")[0] == 0
    file = tmp_path / "study" / "study.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        code, out, err = search("search.num_trials=3")
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        cure = "another program has it open: close that, and give the same command again"
        assert line == f"error: {file}: database is locked; {cure}"
    assert search("search.num_trials=3")[0] == 0
    assert len(trials(tmp_path / "study")) == 3


def test_a_damaged_plan_is_named(search, tmp_path):
    assert search("search.num_trials=1")[0] == 0
    for text in ("{", "[1]"):
        (tmp_path / "study" / "plan.json").write_text(text, encoding="utf-8")
        code, _, err = search("search.num_trials=1")
        assert code == 2 and err.startswith(f"error: {tmp_path / 'study' / 'plan.json'}") and err.count("\n") == 1
