"""TensorBoard on a sweep, over HTTP: each run's own curves, test metrics as hparams, texts, figures and the layout."""

import csv
import json
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

WORDS = ["model=linear", "trainer.max_steps=8", "trainer.val_every=4", "trainer.log_every=2", "trainer.min_steps=0"]
WORDS += ["trainer.accelerator=cpu", "hydra.sweep.dir=sweep", "optimizer.lr=0.01,0.02"]
SECONDS = 60
STARTED = "http://"


@pytest.fixture(scope="module")
def sweep(command, root, tiny, tmp_path_factory):
    """The folder of a sweep of two runs, and their directories."""
    cwd = tmp_path_factory.mktemp("tensorboard")
    done = command(root / "run.py", "-m", *tiny("linear"), *WORDS, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "sweep", sorted(path.parent for path in (cwd / "sweep").rglob("metrics.csv"))


@pytest.fixture(scope="module")
def get(sweep, environment, tmp_path_factory):
    """(path below /data, query, body) -> what TensorBoard answers; it reads the folder of the sweep."""
    log = tmp_path_factory.mktemp("server") / "stderr"
    words = ["-m", "tensorboard.main", "--logdir", sweep[0], "--port", "0", "--load_fast", "false"]
    with open(log, "w", encoding="utf-8") as errors:
        server = subprocess.Popen([sys.executable, *words], stdout=errors, stderr=errors, env=environment)

    def asked(path, body=None, **query):
        address = f"{url}/data/{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(address, content, headers), timeout=SECONDS) as answer:
            return json.loads(answer.read())

    try:
        until(lambda: STARTED in log.read_text(encoding="utf-8"), server, log)
        url = next(word.rstrip("/") for word in log.read_text(encoding="utf-8").split() if word.startswith(STARTED))
        until(lambda: len(asked("runs")) == 2 and len(asked("plugin/images/tags")) == 2, server, log)
        yield asked
    finally:
        server.terminate()
        server.wait(SECONDS)


def until(true, server, log):
    """Wait until something is true of a server that runs."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            if true():
                return
        except URLError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"nothing after {SECONDS} s: {log.read_text(encoding='utf-8')}")


def names(sweep):
    folder, runs = sweep
    return {str((run / "tensorboard" / "linear_L5_seed1").relative_to(folder)): run for run in runs}


def test_each_run_has_its_own_curves(sweep, get):
    runs = names(sweep)
    assert set(get("runs")) == set(runs)
    curves = []
    for name, run in runs.items():
        with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for tag in ("train/loss", "val/loss"):
            points = [(step, value) for _, step, value in get("plugin/scalars/scalars", run=name, tag=tag)]
            expected = [(int(row["step"]), pytest.approx(float(row[tag]))) for row in rows if row[tag]]
            assert points == expected
            assert len(points) == {"train/loss": 4, "val/loss": 2}[tag]
        curves.append(points)
    assert curves[0] != curves[1]


def test_hparams_have_the_test_metrics(sweep, get):
    experiment = get("plugin/hparams/experiment", body={"experimentName": ""})
    assert {"learning_rate", "seed"} <= {info["name"] for info in experiment["hparamInfos"]}
    assert 8 <= len(experiment["hparamInfos"]) <= 10
    wanted = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING"]}
    wanted |= {"colParams": [{"metric": info["name"]} for info in experiment["metricInfos"]], "sliceSize": 10}
    groups = get("plugin/hparams/session_groups", body=wanted)["sessionGroups"]
    assert sorted(group["hparams"]["learning_rate"] for group in groups) == [0.01, 0.02]
    summaries = {
        name: json.loads((run / "summary.json").read_text(encoding="utf-8")) for name, run in names(sweep).items()
    }
    for group in groups:
        (session,) = group["sessions"]
        values = {v["name"]["tag"]: v["value"] for v in session["metricValues"]}
        summary = summaries[session["name"]]
        expected = {tag: value for tag in summary["columns"].values() if (value := summary["metrics"][tag]) is not None}
        assert values == pytest.approx(expected)
        assert {v["trainingStep"] for v in session["metricValues"] if v["name"]["tag"] == "test/loss"} == {8}


def test_completions_are_texts_and_figures_are_images(sweep, get):
    for name in names(sweep):
        texts = get("plugin/text/text", run=name, tag="completions/text_summary")
        assert [text["step"] for text in texts] == [4, 8]
        assert all("<table>" in text["text"] for text in texts)
        assert "learning_curves" in get("plugin/images/tags")[name]


def test_the_layout_has_both_losses_in_one_chart_and_a_chart_for_each_group(sweep, get):
    layout = get("plugin/custom_scalars/layout")
    charts = {category["title"]: category["chart"] for category in layout["category"]}
    assert {chart["title"] for chart in charts["validation"]} >= {"id", "ood", "sos"}
    run = min(names(sweep))
    for title, expected in (("loss", {"train/loss", "val/loss"}), ("ood", None)):
        (chart,) = {c["title"]: c for c in (*charts["loss"], *charts["validation"]) if c["title"] == title}.values()
        (pattern,) = chart["multiline"]["tag"]
        shown = get("plugin/custom_scalars/scalars", run=run, tag=pattern)["tag_to_events"]
        if expected is None:
            with open(names(sweep)[run] / "metrics.csv", newline="", encoding="utf-8") as file:
                shares = ("rule_1", "rule_2_completion", "rule_1_and_rule_2_completion")
                expected = {name for name in next(csv.reader(file)) if name in [f"val/ood/{share}" for share in shares]}
        assert set(shown) == expected
