"""logger=wandb, offline: what wandb's own file of a run holds, also of one that was killed and resumed."""

import csv
import json
import struct
from functools import partial

import pytest

wandb = pytest.importorskip("wandb")
from wandb.proto import wandb_internal_pb2  # noqa: E402


@pytest.fixture
def train(train_with):
    """Run the job in tmp_path/run, to its end or to (signal, step)."""
    return partial(train_with, "wandb")


def records(run_dir):
    """The records of the only file of a run that wandb keeps."""
    (file,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    found = []
    for data in chunks(file.read_bytes()):
        found.append(wandb_internal_pb2.Record())
        found[-1].ParseFromString(data)
    return found


def chunks(content):
    """The entries of a log in LevelDB's format with a header of 7 bytes: blocks of 32 KiB that cut entries."""
    place, entry = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # no room for the head of a piece
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        entry += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield entry
            entry = b""


def history(run_dir):
    """step -> the numbers that wandb has of it."""
    rows = {}
    for record in records(run_dir):
        if record.WhichOneof("record_type") == "history":
            found = [item for item in record.history.item if len(item.nested_key) == 1]  # others describe files
            items = {item.nested_key[0]: json.loads(item.value_json) for item in found}
            step = items["_step"]
            assert step not in rows
            assert items.pop("trainer/global_step") == step
            rows[step] = {name: value for name, value in items.items() if not name.startswith("_")}
    return rows


def in_metrics_csv(run_dir):
    rows = {}
    with open(run_dir / "metrics.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(int(row.pop("step")), {}).update({k: float(v) for k, v in row.items() if v})
    return rows


def test_wandb_has_the_rows_the_configuration_and_the_test_metrics(train, tmp_path):
    done = train()
    assert done.returncode == 0
    assert all(line.startswith("step ") or line.endswith(" ...") for line in done.stderr.splitlines()), done.stderr
    assert "wandb:" not in done.stdout
    run = tmp_path / "run"
    rows = history(run)
    assert rows == {step: pytest.approx(row) for step, row in in_metrics_csv(run).items()}
    content = str(records(run))
    assert "media/html/completions" in content
    assert "media/images/learning_curves" in content
    summary = {}
    config = {}
    for record in records(run):
        if record.WhichOneof("record_type") == "summary":
            for item in record.summary.update:
                summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        if record.WhichOneof("record_type") == "config":
            for item in record.config.update:
                config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    assert config["optimizer"]["lr"] == 0.001
    metrics = json.loads((run / "summary.json").read_text(encoding="utf-8"))["metrics"]
    expected = {name: value for name, value in metrics.items() if value is not None}
    assert {name: summary[name] for name in expected} == pytest.approx(expected)
    assert not [path for path in tmp_path.iterdir() if path.name != "run"]


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_id_and_has_each_step_once(train, tmp_path):
    run = tmp_path / "run"
    assert train(stop=("SIGKILL", 6)).returncode == -9
    (before,) = (run / "wandb").glob("offline-run-*")
    done = train()
    assert done.returncode == 0, done.stderr
    assert "resumed from last.ckpt at step 4" in done.stdout
    rows = history(run)
    assert sorted(rows) == [2, 4, 6, 8]
    assert rows == {step: pytest.approx(row) for step, row in in_metrics_csv(run).items()}
    (after,) = (run / "wandb").glob("offline-run-*")
    assert before.name.rpartition("-")[2] == after.name.rpartition("-")[2]


def test_an_interrupted_run_is_ended(train, tmp_path):
    assert train(stop=("SIGTERM", 5)).returncode == 143
    kinds = [record.WhichOneof("record_type") for record in records(tmp_path / "run")]
    assert "exit" in kinds
    assert sorted(history(tmp_path / "run")) == [2, 4, 6]


@pytest.mark.slow
def test_two_jobs_of_a_sweep_are_two_runs(command, root, tiny, tmp_path):
    words = ["model=linear", "logger=wandb", "trainer.max_steps=8", "trainer.val_every=4", "trainer.min_steps=0"]
    sweep = ["-m", *tiny("linear"), *words, "trainer.log_every=2", "seed=1,2", "hydra.sweep.dir=sweep"]
    done = command(root / "run.py", *sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = [path.parent for path in (tmp_path / "sweep").rglob("metrics.csv")]
    assert len(runs) == 2
    for run in runs:
        rows = history(run)
        assert rows == {step: pytest.approx(row) for step, row in in_metrics_csv(run).items()}
