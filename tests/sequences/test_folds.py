"""python -m sequences.folds: folds are pooled by their sequences, with intervals of what they are worth."""

import json

import pytest

from sequences.folds import POOLED, main


def leave(folder, hits=1, trials=10, effective=5.0, baseline=0.5, *, fold=0, model="solver_bank", seed=1, rate=0.001):
    """The summary and the configuration of a run with so many hits of each family, beside a baseline."""
    folder.mkdir(parents=True)
    names = [f"test/accuracy_by_family/{name}" for name in POOLED]
    summary = {
        "model": model,
        "data": "recurrence",
        "seed": seed,
        "steps": 200,
        "metrics": dict.fromkeys(names, hits / trials),
        "counts": dict.fromkeys(names, trials),
        "effective": dict.fromkeys(names, effective),
        "baselines": {"vote": dict.fromkeys(names, baseline)},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    config = {"data": {"fold": fold}, "optimizer": {"lr": rate}, "seed": seed}
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config), encoding="utf-8")


def test_sequences_of_all_folds_are_added_up(tmp_path, capsys):
    leave(tmp_path / "fold_0", hits=1, trials=10, effective=5.0, baseline=0.5)
    leave(tmp_path / "fold_1", hits=3, trials=90, effective=95.0, baseline=0.0, fold=1)
    assert main([str(tmp_path)]) == 0
    heading, _, ours, vote = capsys.readouterr().out.splitlines()
    assert POOLED == ("arithmetic", "linear_order_two", "runs", "doubled_terms", "alternating_signs")
    assert heading.split(" | ")[2:] == [*POOLED[:-1], f"{POOLED[-1]} |"]
    # 4 of 100 by Wilson's formula over 5 + 95 independent trials
    assert ours.startswith("| **solver_bank** | 2 | 0.040 (0.016 to 0.098) | ")
    assert vote.startswith("| vote | 2 | 0.050 | ")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"seed": 2}, "data.fold=0 twice"),
        ({"fold": 1, "rate": 0.5}, "these runs differ in optimizer.lr; allowed: in data.fold alone"),
        ({"fold": 1, "model": "lstm"}, "these runs differ in model: lstm, solver_bank"),
    ],
)
def test_runs_that_are_no_folds_of_one_another_are_refused(tmp_path, capsys, other, said):
    leave(tmp_path / "one")
    leave(tmp_path / "two", **other)
    assert main([str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_run_of_unknown_fold_is_refused(tmp_path, capsys):
    leave(tmp_path / "one")
    (tmp_path / "one" / ".hydra" / "config.yaml").unlink()
    assert main([str(tmp_path)]) == 2
    assert "its fold is unknown" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err
