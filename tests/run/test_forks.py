"""Jobs that are forks of the sweep's process: what a new process would be, one after another or several at once."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from seqlab.run.forks import Takeover, fork, targets
from seqlab.run.launch import num_cores
from seqlab.starting import DEFAULTS

QUICK = ["trainer.max_steps=8", "trainer.val_every=3", "trainer.min_steps=0", "trainer.accelerator=cpu"]
LONG = ["trainer.max_steps=900", "trainer.min_steps=900", "trainer.val_every=900", "trainer.log_every=1"]
TWO = pytest.mark.skipif(num_cores() < 2, reason="one core runs one job at a time")
NAMES = ["seed=1", "seed=2", "seed=3"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.fixture
def words(root, tiny):
    """The words of a sweep over tiny jobs."""
    return [root / "run.py", "-m", "model=linear", *tiny("linear"), *QUICK, "hydra.sweep.dir=sweep"]


@pytest.fixture
def started(words, environment, tmp_path):
    """(number of jobs, further words) -> a sweep in tmp_path of which so many jobs have begun to train."""

    def start(number, *more):
        command = [sys.executable, *map(str, words), *more]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for _ in range(1200):
            time.sleep(0.1)
            training = [file for file in tmp_path.rglob("metrics.csv") if file.read_bytes().count(b"\n") > 3]
            if len(training) >= number:
                return process
        raise TimeoutError("no job began to train")

    return start


NOTE = """
import os, sys

class Note:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            with open(os.environ["NOTES"], "a") as notes:
                notes.write("torch\\n")

sys.meta_path.insert(0, Note())
"""


@pytest.fixture
def noted(root, tmp_path):
    """Words after `python` -> the completed process, and how often it and its children searched for torch."""
    (tmp_path / "sitecustomize.py").write_text(NOTE, encoding="utf-8")
    path = f"{tmp_path}{os.pathsep}{root}"
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NOTES": str(tmp_path / "notes")}

    def ran(*words):
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8")
        return done, (tmp_path / "notes").read_text(encoding="utf-8").count("torch")

    return ran


def run_dirs(folder):
    """The run directories of a sweep in the order of their names."""
    return sorted(path.parent for path in folder.rglob("status.json"))


def status(run):
    return json.loads((run / "status.json").read_text(encoding="utf-8"))


def results(run):
    """What a run computed: all but the seconds, and what of it depends on seconds."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    del summary["seconds"]
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = [{name: text for name, text in row.items() if "per_second" not in name} for row in csv.DictReader(file)]
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    weights = {name: tensor.numpy().tobytes() for name, tensor in state.items()}
    return summary, rows, weights, (run / "predictions.jsonl").read_bytes()


@pytest.mark.parametrize("model", ["linear", pytest.param("transformer", marks=pytest.mark.slow)])
def test_a_fork_computes_what_a_new_process_computes(model, words, root, tiny, python, tmp_path):
    words = [word for word in words if not str(word).startswith("model")]
    done = python(*words, f"model={model}", *tiny(model), "seed=1,2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = run_dirs(tmp_path / "sweep")
    assert [run.name[:6] for run in runs] == NAMES[:2]
    for seed, run in enumerate(runs, start=1):
        alone = [root / "run.py", f"model={model}", *tiny(model), *QUICK, f"seed={seed}", f"hydra.run.dir=alone{seed}"]
        assert python(*alone, cwd=tmp_path).returncode == 0
        assert results(run) == results(tmp_path / f"alone{seed}")
        files = [
            {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "events" not in path.name}
            for folder in (run, tmp_path / f"alone{seed}")
        ]
        assert files[0] == files[1]


@linux
def test_the_sweep_imports_and_its_jobs_do_not(words, noted, tmp_path):
    """torch is searched for once in the whole tree of processes, whatever the number of jobs; in new ones each time."""
    done, searches = noted(*words, "logger=csv", "seed=1,2,3")
    assert done.returncode == 0, done.stderr
    assert [status(run)["status"] for run in run_dirs(tmp_path / "sweep")] == ["done"] * 3
    assert searches == 1


@linux
@pytest.mark.slow
def test_what_cannot_be_imported_once_is_told_and_each_job_starts_a_new_process(words, root, tmp_path):
    """Here matplotlib: the jobs themselves do without."""
    (tmp_path / "broken" / "matplotlib").mkdir(parents=True)
    (tmp_path / "broken" / "matplotlib" / "__init__.py").write_text("raise ImportError('no fonts')", encoding="utf-8")
    path = f"{tmp_path / 'broken'}{os.pathsep}{root}"
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words), "logger=csv", "seed=1,2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8")
    told = "each job starts a new process, because a fork fails: ImportError: no fonts"
    assert done.stderr.splitlines().count(told) == 1, done.stderr
    assert [status(run)["status"] for run in run_dirs(tmp_path / "sweep")] == ["done"] * 2, done.stderr


@pytest.mark.slow
def test_a_job_has_the_threads_that_a_new_process_has(words, environment, root, tmp_path):
    """All cores, one after another; one each, at once. More than one thread would hang if the parent had used them."""
    free = {name: value for name, value in environment.items() if name != "OMP_NUM_THREADS"}
    for launcher, threads in (("basic", num_cores()), ("local", 1)):
        more = ["model.d_model=256", f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}", "seed=1,2"]
        command = [sys.executable, *map(str, words), "logger=csv", *more]
        done = subprocess.run(
            command, cwd=tmp_path, env=free, capture_output=True, text=True, timeout=200, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        found = [results(run)[0]["versions"]["threads"] for run in run_dirs(tmp_path / launcher)]
        assert found == [threads, threads]


@linux
@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_a_job_of_two_processes_among_others(launcher, words, noted, tmp_path):
    """Both of its processes are new ones, which import torch as the sweep does, and leave one run directory."""
    done, searches = noted(*words, "logger=csv", "trainer.devices=1,2", f"hydra/launcher={launcher}")
    assert done.returncode == 0, done.stderr
    runs = run_dirs(tmp_path / "sweep")
    assert [status(run)["status"] for run in runs] == ["done"] * 2
    metrics = [results(run)[0]["metrics"] for run in runs]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-4)
    assert searches == 3


@TWO
def test_local_runs_jobs_at_once_and_lists_them_in_order(words, python, tmp_path):
    done = python(
        *words,
        "trainer.max_steps=200",
        "trainer.val_every=100",
        "logger=csv",
        "seed=1,2,3",
        "hydra/launcher=local",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    runs = run_dirs(tmp_path / "sweep")
    assert [run.name[:6] for run in runs] == NAMES
    begun = [(run / ".hydra" / "config.yaml").stat().st_mtime for run in runs]
    ended = [(run / "status.json").stat().st_mtime for run in runs]
    assert max(begun[:2]) < min(ended[:2]), "two at once"
    assert [status(run)["status"] for run in runs] == ["done"] * 3
    assert "L5    linear   3" in done.stdout


@TWO
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_reaches_every_job_of_local(signum, code, started, tmp_path):
    process = started(2, *LONG, "seed=1,2,3", "hydra/launcher=local")
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    runs = run_dirs(tmp_path / "sweep")
    assert [status(run)["status"] for run in runs] == ["interrupted"] * 2
    assert all("last.ckpt is saved" in status(run)["reason"] for run in runs)


@TWO
@pytest.mark.slow
def test_a_killed_job_of_local_takes_nothing_with_it(started, tmp_path):
    process = started(2, *LONG, "seed=1,2,3", "hydra/launcher=local")
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, encoding="utf-8"
    )
    os.kill(int(listed.stdout.split()[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    found = sorted(status(run)["reason"] for run in run_dirs(tmp_path / "sweep"))
    assert found == ["killed by SIGKILL", "max_steps", "max_steps"]


def test_an_error_that_ends_a_sweep_leaves_the_jobs_of_local(words, command, tmp_path):
    """The second has no folder's name, so it ends the sweep before it has a process; the first is running by then."""
    done = command(*words, "logger=csv", "seed=1,'${nope}'", "hydra/launcher=local", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert [status(run)["status"] for run in run_dirs(tmp_path / "sweep")] == ["done"]


def test_local_has_no_number_of_jobs(command, words, tmp_path):
    done = command(*words, "hydra/launcher=local", "hydra.launcher.n_jobs=0", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: hydra.launcher.n_jobs: ")


@linux
def test_a_fork_begins_like_a_new_process():
    """Its arguments and environment are its own, its input is empty, and a signal sent in between is not lost."""
    read, write = os.pipe()
    forgotten = []
    try:
        child = fork(["seed=7"], {"OMP_NUM_THREADS": "1", "OURS": "yes"}, in_child=lambda: forgotten.append(1))
    except Takeover as takeover:
        try:
            for signum, default in DEFAULTS.items():
                signal.signal(signum, default)
            full, into = os.pipe()
            os.write(into, b"typed")
            os.dup2(full, 0)
            takeover.begin()
            found = [sys.argv[1:], os.environ["OURS"], torch.get_num_threads(), os.read(0, 1).decode(), forgotten]
            os.write(write, json.dumps([*found, os.getpgid(0) == os.getpid()]).encode())
        finally:
            os._exit(7)
    assert not forgotten
    os.close(write)
    with open(read, encoding="utf-8") as file:
        assert json.loads(file.read()) == [["seed=7"], "yes", 1, "", [1], True]
    while child.poll() is None:
        time.sleep(0.01)
    assert child.returncode == 7
    child.send_signal(signal.SIGTERM)  # too late, and no error
    assert "OURS" not in os.environ


@linux
def test_a_signal_right_after_the_fork_waits_for_the_handlers_of_the_job():
    try:
        child = fork([], {}, in_child=lambda: time.sleep(0.5))
    except Takeover as takeover:
        signal.signal(signal.SIGTERM, lambda signum, frame: os._exit(9))
        takeover.begin()
        os._exit(0)
    child.send_signal(signal.SIGTERM)
    while child.poll() is None:
        time.sleep(0.01)
    assert child.returncode == 9


def test_the_classes_of_a_configuration():
    assert list(targets({"a": 1, "b": [{"_target_": "x.Y"}], "c": {"_target_": "z.W", "d": {"_target_": 3}}})) == [
        "x.Y",
        "z.W",
    ]
