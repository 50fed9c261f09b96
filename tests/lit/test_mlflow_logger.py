"""logger=mlflow in a SQLite file: what the store has of a run, also of one that was killed and resumed."""

import csv
import json
import os
from functools import partial

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
mlflow = pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")
from mlflow.tracking import MlflowClient  # noqa: E402


@pytest.fixture
def train(train_with):
    """Run the job in tmp_path/run, to its end or to (signal, step)."""
    return partial(train_with, "mlflow")


@pytest.fixture
def only_run(tmp_path):
    """() -> (the client of the store, its only run)."""

    def found():
        client = MlflowClient(f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")
        (run,) = client.search_runs([client.get_experiment_by_name("seqlab").experiment_id])
        return client, run

    return found


def assert_steps_are_those_of_metrics_csv(client, run, run_dir):
    with open(run_dir / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in set(rows[0]) - {"step"}:
        points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        assert points == [(int(row["step"]), pytest.approx(float(row[name]))) for row in rows if row[name]], name


def test_the_store_has_the_rows_the_configuration_and_the_test_metrics(train, only_run, tmp_path):
    done = train()
    assert done.returncode == 0
    assert all(line.startswith("step ") or line.endswith(" ...") for line in done.stderr.splitlines()), done.stderr
    client, run = only_run()
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer/lr"] == "0.001"
    assert_steps_are_those_of_metrics_csv(client, run, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))["metrics"]
    expected = {name: value for name, value in metrics.items() if value is not None}
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"completions", "learning_curves.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"run", "outputs"}


@pytest.mark.slow
def test_a_killed_run_goes_on_in_the_same_run_and_has_each_step_once(train, only_run, tmp_path):
    assert train(stop=("SIGKILL", 6)).returncode == -9
    _, before = only_run()
    done = train()
    assert done.returncode == 0, done.stderr
    assert "resumed from last.ckpt at step 4" in done.stdout
    client, run = only_run()
    assert run.info.run_id == before.info.run_id
    assert run.info.status == "FINISHED"
    assert_steps_are_those_of_metrics_csv(client, run, tmp_path / "run")

    grown = train("trainer.max_steps=12")
    assert grown.returncode == 0, grown.stderr
    assert_steps_are_those_of_metrics_csv(*only_run(), tmp_path / "run")


@pytest.mark.slow
def test_a_run_that_failed_says_so(train, only_run):
    assert (
        train("optimizer=sgd", "optimizer.lr=1e30", "schedule=constant", "trainer.gradient_clip=null").returncode == 1
    )
    assert only_run()[1].info.status == "FAILED"
