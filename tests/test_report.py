"""python -m seqlab.report: a row for each setting, with the validation loss that settings are chosen by."""

import json

from seqlab.report.__main__ import main


def leave(folder, model, perplexity, losses, seed=1):
    """A finished run with so much perplexity on its test part and these validation losses."""
    folder.mkdir(parents=True)
    summary = {
        "model": model, "data": "text", "seed": seed, "steps": 9, "seconds": 60, "stopped": "max_steps",
        "columns": {"perplexity": "test/perplexity"},
        "metrics": {} if perplexity is None else {"test/perplexity": perplexity},
        "baselines": {"unigram": {"test/perplexity": 99.0}},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    rows = [f"{step},{loss},1.0" for step, loss in enumerate(losses)]
    (folder / "metrics.csv").write_text("\n".join(["step,val/loss,train/loss", *rows, "9,,0.5"]) + "\n")


def test_settings_stand_with_their_validation_loss(tmp_path, capsys):
    leave(tmp_path / "0", "lstm lr=1", 40.0, [5.0, 3.0, 4.0])
    leave(tmp_path / "1", "lstm lr=2", 30.0, [5.0, 4.5])
    leave(tmp_path / "2", "lstm lr=2", 32.0, [3.5], seed=2)
    leave(tmp_path / "3", "lstm lr=3", None, [1.0])
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert (tmp_path / "out" / "table.md").read_text() == printed.out
    assert printed.out.splitlines() == [
        "| data | model | seeds | steps | time | val loss | perplexity |",
        "| - | - | - | - | - | - | - |",
        "| text | **lstm lr=1** | 1 | 9 | 1.0 min | 3.000 | 40.000 |",
        "| text | **lstm lr=2** | 1 2 | 9/9 | 1.0 min | 4.000 ± 0.707 | 31.000 ± 1.414 |",
        "| text | unigram |  |  |  |  | 99.000 |",
    ]
    assert "left out" in printed.err


def test_a_run_without_its_metrics_has_a_dash(tmp_path, capsys):
    leave(tmp_path / "run", "lstm", 40.0, [5.0])
    (tmp_path / "run" / "metrics.csv").unlink()
    assert main([str(tmp_path)]) == 0
    assert "| 1.0 min | - | 40.000 |" in capsys.readouterr().out
