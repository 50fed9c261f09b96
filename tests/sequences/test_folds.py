"""python -m sequences.folds: folds are pooled by their sequences, with intervals of what they are worth."""

import json

from sequences.folds import POOLED, main


def leave(folder, hits, trials, effective, baseline):
    """The summary of a run with so many hits of each family, beside a baseline."""
    folder.mkdir(parents=True)
    names = [f"test/accuracy_by_family/{name}" for name in POOLED]
    summary = {
        "model": "solver_bank",
        "data": "recurrence",
        "seed": 1,
        "steps": 200,
        "metrics": dict.fromkeys(names, hits / trials),
        "counts": dict.fromkeys(names, trials),
        "effective": dict.fromkeys(names, effective),
        "baselines": {"vote": dict.fromkeys(names, baseline)},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def test_sequences_of_all_folds_are_added_up(tmp_path, capsys):
    leave(tmp_path / "fold_0", hits=1, trials=10, effective=5.0, baseline=0.5)
    leave(tmp_path / "fold_1", hits=3, trials=90, effective=95.0, baseline=0.0)
    assert main([str(tmp_path)]) == 0
    heading, _, ours, vote = capsys.readouterr().out.splitlines()
    assert POOLED == ("arithmetic", "linear_order_two", "runs", "doubled_terms", "alternating_signs")
    assert heading.split(" | ")[2:] == [*POOLED[:-1], f"{POOLED[-1]} |"]
    # 4 of 100 by Wilson's formula over 5 + 95 independent trials
    assert ours.startswith("| **solver_bank** | 2 | 0.040 (0.016 to 0.098) | ")
    assert vote.startswith("| vote | 2 | 0.050 | ")


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err
