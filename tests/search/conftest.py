"""A search whose runs are short: a stand-in for training."""

import sys

import pytest

pytest.importorskip("optuna")
from seqlab.search import study as study_module
from seqlab.search.__main__ import main

PLAN = """
words: [model=linear, trainer.max_steps=5]
num_trials: 6
space:
  optimizer.lr: {low: 1e-4, high: 1.0, log: true}
  model.d_model: [64, 128]
"""
# The validation loss is lowest at lr=0.01; a run with lr above 0.3 stops as one does whose loss is infinite.
STAND_IN = """
import json, math, os, signal, sys, time
from pathlib import Path
words = dict(word.split("=", 1) for word in sys.argv[1:])
folder = Path(words["hydra.run.dir"].strip("'"))
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "starts", "a") as starts:
    starts.write("x")
lr, seed = float(words["optimizer.lr"]), int(words.get("seed", 1))
if os.environ.get("KILLS") == folder.name and (folder / "starts").read_text() == "x":
    if os.environ["SIGNAL"] == "SIGKILL":
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)
if words["model.d_model"] == os.environ.get("REFUSED"):
    print("error: that is refused")
    sys.exit(2)
if lr > 0.3:
    reason = {"status": "failed", "reason": "the loss is inf at step 3"}
    (folder / "status.json").write_text(json.dumps(reason))
    sys.exit(1)
loss = (math.log10(lr) + 2) ** 2 + 0.001 * seed
(folder / "metrics.csv").write_text(f"step,val/loss,val/nothing\\n4,{loss + 1},nan\\n5,{loss},nan\\n")
metrics = {"test/loss": loss + 0.1}
summary = {"model": "linear", "data": "L5", "seed": seed, "steps": 5, "baselines": {}, "metrics": metrics}
(folder / "summary.json").write_text(json.dumps({"columns": {"loss": "test/loss"}, **summary}))
"""


@pytest.fixture
def search(tmp_path, monkeypatch, capsys):
    """(words, the plan's text) -> (exit code, stdout, stderr) of the command, whose study is tmp_path/study."""
    (tmp_path / "run.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr(study_module, "TRAIN", (sys.executable, str(tmp_path / "run.py")))

    def ran(*words, plan=PLAN, folder="study"):
        (tmp_path / "plan.yaml").write_text(plan, encoding="utf-8")
        code = main([str(tmp_path / "plan.yaml"), f"search.dir={tmp_path / folder}", *words])
        return code, *capsys.readouterr()

    return ran
