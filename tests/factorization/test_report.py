"""python -m factorization.report: folds are pooled by their numbers, not averaged."""

import json

from factorization.report import main


def leave(folder, hits, trials, metrics=True):
    """The summary of a run with so many exact answers, beside a baseline with one more."""
    folder.mkdir(parents=True)
    names = [f"{stage}/beta_{k}" for stage in ("test", "test_last") for k in range(4)]
    values = dict.fromkeys(names, hits / trials)
    summary = {
        "model": "sine_net",
        "metrics": values if metrics else {},
        "counts": dict.fromkeys(names, trials),
        "baselines": {"last bit": dict.fromkeys(names, (hits + 1) / trials)},
        "last_five_checks": {"val/beta_0": {"mean": hits / 10}},
    }
    (folder / "summary.json").write_text(json.dumps(summary))


def test_hits_of_all_folds_are_added_up(tmp_path, capsys):
    leave(tmp_path / "runs" / "S3" / "fold_0", hits=1, trials=10)
    leave(tmp_path / "runs" / "S3" / "deeper" / "fold_1", hits=3, trials=90)
    leave(tmp_path / "runs" / "S3" / "cut_off", hits=9, trials=9, metrics=False)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "table.md")]) == 0
    table = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == table
    _, _, ours, last, rule = table.splitlines()
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    # 4 of 100 by Wilson's formula; the mean of the folds' shares would be 0.067
    assert cells[:5] == ["S3", "**sine_net**", "2", "0.200", "0.040 (0.016 to 0.098, n = 100)"]
    assert cells[-2:] == ["", ""]  # no slice of S3
    assert last.startswith("| S3 | at last.ckpt | 2 | 0.200 | 0.040 (")
    assert rule.startswith("| S3 | last bit | 2 | | 0.060 | ")


def test_a_folder_without_a_finished_run_is_refused(tmp_path, capsys):
    leave(tmp_path / "S3" / "fold_0", hits=1, trials=10, metrics=False)
    assert main([str(tmp_path)]) == 2
    assert f"error: no finished run below {tmp_path}" in capsys.readouterr().err
