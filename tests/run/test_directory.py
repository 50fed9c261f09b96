"""What one real command leaves behind: every promised file, with what it promises inside."""

import csv
import json
import math
import re
import shlex

import matplotlib.image
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.errors import InputError
from seqlab.run.directory import RunDirectory, Status

METRICS = ["rule_1", "rule_2", "rule_2_completion", "rule_1_and_rule_2_completion", "grammatical", "finished"]
RULES = [f"{group}{end}/{metric}" for group in ("id", "ood", "sos") for end in ("", "_finished") for metric in METRICS]
TOKENS = ["loss", "nats_above_optimal", "accuracy"]


@pytest.fixture(scope="module")
def run_dir(finished_run):
    return finished_run[0]


def no_constant(name):
    raise AssertionError(f"{name} is no plain JSON")


@pytest.fixture(scope="module")
def summary(run_dir):
    return json.loads((run_dir / "summary.json").read_text(encoding="utf-8"), parse_constant=no_constant)


@pytest.fixture(scope="module")
def completions(run_dir):
    text = (run_dir / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=no_constant) for line in text.splitlines()]


@pytest.fixture(scope="module")
def checks(run_dir):
    """metric -> [(step, value)] as metrics.csv has them."""
    found = {}
    with open(run_dir / "metrics.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if text:
                    found.setdefault(name, []).append((int(row["step"]), float(text)))
    return found


@pytest.fixture(scope="module")
def events(run_dir):
    accumulator = EventAccumulator(
        str(run_dir / "tensorboard" / "transformer_L5_seed1"), size_guidance={"scalars": 0, "tensors": 0}
    )
    accumulator.Reload()
    return accumulator


def test_every_file_is_there(run_dir):
    files = [".hydra/config.yaml", ".hydra/overrides.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt"]
    for name in [*files, "metrics.csv", "predictions.jsonl", "summary.json", "plots/learning_curves.png"]:
        assert (run_dir / name).stat().st_size > 0, name
    directory = RunDirectory(run_dir)
    files = (directory.config, directory.overrides, directory.hydra, directory.status, directory.summary, directory.log)
    logged = (directory.metrics, directory.predictions, directory.best, directory.last, directory.before_last)
    assert [path for path in (*files, *logged) if not path.is_file()] == []
    assert {path for path in run_dir.iterdir() if path.is_dir()} <= set(directory.folders)
    assert list((run_dir / "tensorboard").rglob("events.*"))
    assert not list(run_dir.rglob("*.tmp"))


def test_nothing_is_written_elsewhere(finished_run):
    run_dir, cwd, _ = finished_run
    assert {path.name for path in cwd.iterdir()} == {"runs"}
    assert list((cwd / "runs").iterdir()) == [run_dir]


def test_the_command_prints_its_table_and_the_directory(finished_run):
    _, _, process = finished_run
    for name in ("ood/rule_2_completion", "chance", "uniform", "eos", "ngram", "oracle"):
        assert name in process.stdout
    assert process.stdout.splitlines()[-1].endswith("runs/one")
    assert "Traceback" not in process.stderr


def test_the_last_lines_are_the_next_commands_and_the_first_of_them_runs(finished_run, command):
    _, cwd, process = finished_run
    predict, report, board = [line for line in process.stdout.splitlines() if line.startswith("next: ")]
    assert report == "next: python -m seqlab.report runs"
    assert board == "next: tensorboard --logdir runs"
    start = "next: python -m seqlab.predict runs/one "
    assert predict.startswith(start)
    (prompt,) = shlex.split(predict.removeprefix(start))
    done = command("-m", "seqlab.predict", "runs/one", prompt, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "completion" in done.stdout


def test_every_file_counts_steps_alike(finished_run, summary):
    run, *_ = finished_run
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    validations = [(int(row["step"]), float(row["val/loss"])) for row in rows if row["val/loss"]]
    assert [step for step, _ in validations] == list(range(5, 41, 5))
    assert summary["best_step"] == min(validations, key=lambda check: check[1])[0]
    trained = [row for row in rows if row["train/loss"]]
    assert [int(row["step"]) for row in trained] == [10, 20, 30, 40]
    assert float(trained[0]["train/lr"]) == pytest.approx(0.01)  # after a warm-up of 10 steps
    assert all(float(row["train/targets_per_second"]) > 0 < float(row["train/gradient_norm"]) for row in trained)
    board = EventAccumulator(str(run / "tensorboard" / "transformer_L5_seed1"))
    board.Reload()
    assert [event.step for event in board.Scalars("val/loss")] == [step for step, _ in validations]
    assert [event.step for event in board.Scalars("train/lr")] == [10, 20, 30, 40]


def test_the_log_has_the_table_and_what_was_trained(finished_run):
    run, _, process = finished_run
    log = (run / "run.log").read_text(encoding="utf-8")
    first, *_ = process.stdout.splitlines()
    assert log.startswith(first)
    assert re.search(r"^step 10/40  train/loss \d\S+  val/loss \d\S+  best \d\S+  \S+ -> ", log, re.MULTILINE)
    assert len(re.findall(r"^step \d+/40 ", log, re.MULTILINE)) == 8
    table = process.stdout[process.stdout.index("metric ") : process.stdout.index("next: ")]
    assert table in log


def test_the_summary_says_what_ran(summary):
    assert {key: summary[key] for key in ("model", "data", "seed", "steps", "stopped")} == {
        "model": "transformer",
        "data": "L5",
        "seed": 1,
        "steps": 40,
        "stopped": "max_steps",
    }
    assert "L5" in summary["description"]
    assert "share no string" in summary["description"]
    assert summary["num_parameters"] == 1959
    assert summary["seconds"] > 0
    assert summary["missing"] == {}
    assert {"python", "torch", "lightning"} <= summary["versions"].keys()


def test_metric_names_are_exactly_the_promised(summary):
    names = {f"{stage}/{name}" for stage in ("test", "test_last") for name in [*TOKENS, *RULES]}
    assert set(summary["metrics"]) == names
    rules = {name for name in names if name.partition("/")[2] in RULES}
    assert set(summary["counts"]) == set(summary["intervals"]) == rules


def test_counts_and_intervals_stand_beside_every_share(summary, completions):
    for name, count in summary["counts"].items():
        stage, group, _ = name.split("/")
        members = [record for record in completions if record["set"] == group.removesuffix("_finished")]
        value, interval = summary["metrics"][name], summary["intervals"][name]
        if not group.endswith("_finished"):
            assert count == len(members)
        elif stage == "test":
            assert count == sum(record["finished"] for record in members)
        if count == 0:
            assert value is None
            assert interval is None
        else:
            assert 0 <= interval[0] <= value <= interval[1] <= 1
            assert (value * count) == pytest.approx(round(value * count))


def test_baselines_and_chance_stand_beside_every_rule_metric(summary):
    assert set(summary["baselines"]) == {"chance", "eos", "uniform", "ngram", "oracle", "optimal"}
    for name, rows in summary["baselines"].items():
        for group in ("id", "ood", "sos") if name != "optimal" else ():
            for metric in METRICS:
                assert 0 <= rows[f"test/{group}/{metric}"] <= 1, (name, group, metric)
        assert set(rows) <= {f"test/{name}" for name in [*TOKENS, *RULES]}
    chance, oracle, eos = (summary["baselines"][name] for name in ("chance", "oracle", "eos"))
    assert oracle["test/id/grammatical"] == 1.0
    assert oracle["test/ood/grammatical"] == chance["test/ood/grammatical"] == 0.0
    assert eos["test/id/finished"] == 1.0
    assert chance["test/loss"] == pytest.approx(math.log(5))  # four symbols and EOS
    assert summary["baselines"]["uniform"]["test/ood/rule_1"] == pytest.approx(chance["test/ood/rule_1"], abs=0.05)


def test_metrics_csv_has_every_check(checks, summary):
    steps = [step for step, _ in checks["val/loss"]]
    assert len(steps) == 8  # 40 steps, one check every 5
    assert len(set(steps)) == 8
    for name in ["val/accuracy", *(f"val/{g}/{m}" for g in ("id", "ood", "sos") for m in METRICS)]:
        assert [step for step, _ in checks[name]] == steps, name
    assert {name for name in checks if name.startswith("val/")} <= {f"val/{name}" for name in [*TOKENS, *RULES]}
    assert checks["train/loss"]


def test_a_share_of_nothing_is_left_out_of_metrics_csv(checks):
    """Never 0: a check in which nothing finished has no row for the shares over finished prompts."""
    for group in ("id", "ood", "sos"):
        finished = {step for step, value in checks[f"val/{group}/finished"] if value > 0}
        assert {step for step, _ in checks.get(f"val/{group}_finished/rule_1", [])} == finished


def test_last_five_checks_are_those_of_metrics_csv(checks, summary):
    for name, spread in summary["last_five_checks"].items():
        values = [value for _, value in checks[name]][-5:]
        assert spread["checks"] == len(values)
        assert spread["mean"] == pytest.approx(sum(values) / len(values))
        assert (spread["min"], spread["max"]) == (min(values), max(values))
    assert set(summary["last_five_checks"]) == {name for name in checks if name.startswith("val/")}
    assert summary["last_five_checks"]["val/loss"]["checks"] == 5


def test_completions_are_those_that_the_summary_counts(completions, summary):
    prompts = [(record["set"], record["prompt"]) for record in completions]
    assert len(prompts) == len(set(prompts))
    assert prompts.count(("sos", "")) == 1
    assert {prompt[:2] for group, prompt in prompts if group == "id"} == {"(["}
    assert {prompt[:2] for group, prompt in prompts if group == "ood"} == {")["}
    for group in ("id", "ood", "sos"):
        members = [record for record in completions if record["set"] == group]
        finished = [record for record in members if record["finished"]]
        for metric in METRICS:
            share = sum(record[metric] for record in members) / len(members)
            assert summary["metrics"][f"test/{group}/{metric}"] == pytest.approx(share)
            if finished:
                share = sum(record[metric] for record in finished) / len(finished)
                assert summary["metrics"][f"test/{group}_finished/{metric}"] == pytest.approx(share)


def test_plots_are_images(run_dir):
    names = {path.name for path in (run_dir / "plots").iterdir()}
    assert {"learning_curves.png", "results.png"} <= names
    drawn = {name for name in names if name.endswith(".png")}
    assert names - drawn == {name.replace(".png", ".svg") for name in drawn}
    for name in drawn:
        pixels = matplotlib.image.imread(run_dir / "plots" / name)
        assert min(pixels.shape[:2]) > 100
        assert pixels.std() > 0.01  # not a blank page


def test_tensorboard_has_scalars_texts_figures_and_hyperparameters(events, summary, run_dir):
    tags = events.Tags()
    assert {"train/loss", "val/loss", "val/ood/rule_1", "test/id/grammatical"} <= set(tags["scalars"])
    assert len(events.Scalars("val/loss")) == 8
    assert events.Scalars("test/loss")[-1].value == pytest.approx(summary["metrics"]["test/loss"], rel=1e-6)
    assert {"learning_curves", "results"} <= set(tags["images"])
    for name in ("learning_curves", "results"):
        (image,) = events.Images(name)
        assert image.encoded_image_string == (run_dir / "plots" / f"{name}.png").read_bytes(), "drawn once"
        assert image.width > image.height > 300
    texts = [tag for tag in tags["tensors"] if "completions" in tag]
    assert texts
    text = events.Tensors(texts[0])[-1].tensor_proto.string_val[0].decode()
    assert "([" in text
    assert ")[" in text
    hyperparameters = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert b"d_model" in hyperparameters and b"also_set" in hyperparameters
    curves = {tag for tag in tags["scalars"] if len(events.Scalars(tag)) > 1}
    assert {"train/lr", "train/gradient_norm", "val/sos/grammatical"} <= curves and len(curves) <= 12
    assert {tag for tag in tags["scalars"] if tag not in curves} == set(summary["columns"].values())
    assert b"test/id/grammatical" in events.PluginTagToContent("hparams")["_hparams_/experiment"]


def test_a_status_comes_back_and_what_cannot_be_read_is_unknown(tmp_path):
    directory = RunDirectory(tmp_path)
    assert directory.read_status() == Status("unknown", "", "")
    directory.write_status(Status("done", "max_steps", "1a2b3c4d"))
    assert directory.read_status() == Status("done", "max_steps", "1a2b3c4d")
    for text, status in {
        "[1]": Status(),
        "{": Status(),
        '{"status": ["x"], "reason": "why"}': Status(reason="why"),
    }.items():
        directory.status.write_text(text, encoding="utf-8")
        assert directory.read_status() == status


def test_a_directory_is_in_use_while_it_is_claimed(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    assert not directory.in_use()
    directory.path.mkdir()
    with directory.claimed():
        assert directory.in_use()
        with (
            pytest.raises(InputError, match="another process is training there"),
            RunDirectory(directory.path).claimed(),
        ):
            pass
    assert not directory.in_use()


def test_only_an_empty_directory_is_removed_with_the_folders_made_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    directory = RunDirectory(tmp_path / "a" / "b" / "run")
    directory.path.mkdir(parents=True)
    directory.summary.touch()
    directory.remove_if_empty()
    assert directory.is_run() and directory.is_used()
    directory.summary.rename(directory.log)
    directory.remove_if_empty()
    assert list(tmp_path.iterdir()) == []
