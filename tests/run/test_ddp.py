"""Several processes that share each batch: they learn as one does, and leave one run directory."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from seqlab.lit.datamodule import num_rows, part_of
from seqlab.run.build import build
from tests.run.test_resume import TASKS

# 100 strings in batches of 23: the last batch of an epoch has 8, which go into 3 parts unevenly.
WORDS = ["model.dropout=0", "data.num_train=100", "data.batch_size=23", "trainer.max_steps=12", "trainer.min_steps=0",
         "trainer.val_every=5", "trainer.log_every=1", "trainer.accelerator=cpu", "logger=csv",
         "trainer.precision=64-true"]  # fmt: skip
# Sums are taken in another order, and training lets the rounding grow: in float64 to far less than this.
TOLERANCE = 1e-9


def rows(run):
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        kept = [{name: text for name, text in row.items() if "per_second" not in name} for row in csv.DictReader(file)]
    return [{name: float(text) for name, text in row.items() if text} for row in kept]


@pytest.mark.parametrize("data", TASKS)
def test_the_weighted_mean_over_the_parts_is_the_loss_of_the_whole(data, compose):
    """Whatever a domain's loss is a mean over."""
    model = {"semiprimes": "bits_transformer"}.get(data, "lstm")
    run = build(compose(f"data={data}", f"model={model}"))
    model, task = run.model.eval(), run.task
    batch = task.data.train_batch(0)
    for num_parts in (2, 3):
        parts = [part_of(batch, index, num_parts) for index in range(num_parts)]
        weights = [task.num_targets(part) / task.num_targets(batch) for part in parts]
        assert sum(map(num_rows, parts)) == num_rows(batch)
        assert sum(weights) == pytest.approx(1)
        with torch.no_grad():
            whole = float(task.loss(model, batch))
            mean = sum(float(task.loss(model, part)) * weight for part, weight in zip(parts, weights, strict=True))
        assert mean == pytest.approx(whole, rel=2e-5)  # float32


@pytest.mark.parametrize("num_parts", [1, 2, 3, 7])
def test_no_row_is_repeated_or_lost(num_parts):
    batch = torch.arange(5)
    parts = [part_of(batch, index, num_parts) for index in range(num_parts)]
    assert torch.cat([part for part in parts if part is not None]).tolist() == batch.tolist()
    assert max(0 if part is None else len(part) for part in parts) <= -(-5 // num_parts)


@pytest.mark.parametrize("devices", [2, pytest.param(9, marks=pytest.mark.slow)])
def test_several_processes_learn_as_one(devices, command, python, root, tiny, tmp_path):
    """With 9 processes some have no row of the last batch."""
    start = [root / "run.py", *tiny("transformer"), *WORDS]
    alone = command(*start, "hydra.run.dir=alone", cwd=tmp_path)
    shared = python(*start, "trainer=ddp", f"trainer.devices={devices}", "hydra.run.dir=shared", cwd=tmp_path)
    assert (alone.returncode, shared.returncode) == (0, 0), alone.stderr + shared.stderr
    expected = rows(tmp_path / "alone")
    found = rows(tmp_path / "shared")
    assert len(found) == len(expected) == 12 + 2
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, rel=TOLERANCE, abs=TOLERANCE)
    summaries = [
        json.loads((tmp_path / name / "summary.json").read_text(encoding="utf-8")) for name in ("shared", "alone")
    ]
    assert summaries[0]["counts"] == summaries[1]["counts"]
    assert summaries[0]["metrics"] == pytest.approx(summaries[1]["metrics"], rel=TOLERANCE, abs=TOLERANCE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "shared"]
    names = [{path.relative_to(run).as_posix() for path in run.rglob("*")} for run in sorted(tmp_path.iterdir())]
    assert names[0] == names[1]
    assert all(line.startswith("step ") or line.endswith(" ...") for line in shared.stderr.splitlines()), shared.stderr


@pytest.mark.slow
def test_an_interrupted_run_of_two_processes_goes_on(python, environment, root, tiny, tmp_path):
    start = [root / "run.py", *tiny("transformer"), *WORDS, "trainer=ddp", "trainer.max_steps=600"]
    whole = python(*start, "hydra.run.dir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, *map(str, start), "hydra.run.dir=cut"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    file = tmp_path / "cut" / "metrics.csv"
    while not file.exists() or file.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    resumed = python(root / "run.py", "resume=cut", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed from last.ckpt" in resumed.stdout
    for row, other in zip(rows(tmp_path / "cut"), rows(tmp_path / "whole"), strict=True):
        assert row == pytest.approx(other, rel=TOLERANCE, abs=TOLERANCE)


def test_more_devices_than_there_are(command, root, tmp_path):
    words = ["trainer.accelerator=gpu", "trainer.devices=2000"]
    done = command(root / "run.py", *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: trainer.devices=2000, trainer.accelerator=gpu: ")


def test_several_tasks_of_a_scheduler_are_refused(environment, root, tmp_path):
    tasks = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
    done = subprocess.run(
        [sys.executable, root / "run.py"],
        cwd=tmp_path,
        env=environment | tasks,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: SLURM_NTASKS=2: a run starts its own processes")
    assert not list(tmp_path.iterdir())
