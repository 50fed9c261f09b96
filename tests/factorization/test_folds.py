"""python -m factorization.folds: folds are pooled by their numbers, not averaged."""

import json
import sys

from factorization.folds import main
from tests.terminal import STYLES, in_terminal


def leave(folder, hits, trials, metrics=True, factor=None):
    """The summary of a run with so many exact answers, beside a baseline with one more."""
    folder.mkdir(parents=True)
    names = [f"{stage}/beta_{k}" for stage in ("test", "test_last") for k in range(4)]
    values = dict.fromkeys(names, hits / trials) | {"test/distinct_outputs": float(hits)}
    if factor:
        names.append(f"test/by_factor/{factor}")
        values[names[-1]] = hits / trials
    summary = {
        "model": "sine_net",
        "data": "semiprimes",
        "seed": 1,
        "steps": 200,
        "metrics": values if metrics else {},
        "counts": dict.fromkeys(names, trials),
        "baselines": {"last bit": dict.fromkeys(names, (hits + 1) / trials)},
        "last_five_checks": {"val/beta_0": {"mean": hits / 10}},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def test_hits_of_all_folds_are_added_up(tmp_path, capsys):
    leave(tmp_path / "runs" / "S3" / "fold_0", hits=1, trials=10)
    leave(tmp_path / "runs" / "S3" / "deeper" / "fold_1", hits=3, trials=90)
    leave(tmp_path / "runs" / "S3" / "cut_off", hits=9, trials=9, metrics=False)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "new" / "table.md")]) == 0
    table = capsys.readouterr().out
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == table
    _, _, ours, last, rule = table.partition("\n\n")[0].splitlines()
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    # 4 of 100 by Wilson's formula; the mean of the folds' shares would be 0.067
    assert cells[:5] == ["S3", "**sine_net**", "2", "0.200", "0.040 (0.016 to 0.098, n = 100)"]
    assert cells[-3:] == ["", "", "1 to 3"]  # no slice of S3; distinct outputs
    assert last.startswith("| S3 | at last.ckpt | 2 | 0.200 | 0.040 (")
    assert rule.startswith("| S3 | last bit | 2 |  | 0.060 | ")


def test_exact_answers_by_factor_are_those_of_the_folds_that_have_it(tmp_path, capsys):
    for fold, factor in enumerate(("1031_up", "17_31", "2", "17_31")):
        leave(tmp_path / "S3" / f"fold_{fold}", hits=fold, trials=10, factor=factor)
    assert main([str(tmp_path)]) == 0
    heading, _, ours, last, rule = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    assert heading == "| exact answers by smaller factor | who | 2 | 17 to 31 | 1031 and up |"
    assert ours == "| S3 | **sine_net** | 0.200 | 0.200 | 0.000 |"  # 2 of 10, 1 + 3 of 20, 0 of 10
    assert last == "| S3 | at last.ckpt |  |  |  |"
    assert rule == "| S3 | last bit | 0.300 | 0.300 | 0.100 |"


def test_a_terminal_gets_tables_that_fit(tmp_path, monkeypatch):
    leave(tmp_path / "S3" / "fold_0", hits=1, trials=10)

    def work(file):
        monkeypatch.setattr(sys, "stdout", file)
        assert main([str(tmp_path)]) == 0

    monkeypatch.setenv("COLUMNS", "80")
    lines = STYLES.sub("", in_terminal(80, work)).splitlines()
    assert max(map(len, lines)) <= 80 and not any("|" in line for line in lines)
    assert all(any(word in line for line in lines) for word in ("sine_net", "beta_0", "beta_3", "last bit", "0.100"))


def test_runs_on_other_data_are_left_out(tmp_path, capsys):
    leave(tmp_path / "L5" / "1", hits=1, trials=10)
    summary = tmp_path / "L5" / "1" / "summary.json"
    summary.write_text(summary.read_text(encoding="utf-8").replace("val/beta_0", "val/loss"), encoding="utf-8")
    assert main([str(tmp_path)]) == 2
    assert "no finished run on data=semiprimes" in capsys.readouterr().err


def test_a_folder_without_a_finished_run_is_refused(tmp_path, capsys):
    leave(tmp_path / "S3" / "fold_0", hits=1, trials=10, metrics=False)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"not in the table: {tmp_path / 'S3' / 'fold_0'}: unfinished",
        f"error: no finished run on data=semiprimes in a folder below {tmp_path}",
    ]


def test_a_damaged_run_is_named_and_left_out(tmp_path, capsys):
    leave(tmp_path / "S3" / "fold_0", hits=1, trials=10)
    leave(tmp_path / "S3" / "fold_1", hits=1, trials=10)
    (tmp_path / "S3" / "fold_1" / "summary.json").write_text("{", encoding="utf-8")
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[2].startswith("| S3 | **sine_net** | 1 |")
    assert printed.err.startswith(f"not in the table: {tmp_path / 'S3' / 'fold_1'}: unreadable summary.json is damaged")


def test_a_table_that_cannot_be_written(tmp_path, capsys):
    leave(tmp_path / "runs" / "S3" / "fold_0", hits=1, trials=10)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'runs'}: Is a directory\n"
    assert not list(tmp_path.glob(".*"))
