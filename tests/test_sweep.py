"""Sweeps: a folder for each job, named by what is swept over; the same command again runs what is missing."""

import json

import pytest

from seqlab.job import folder_name

QUICK = ["trainer.max_steps=8", "trainer.val_every=3", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]


@pytest.fixture
def sweep(command, root, tiny, tmp_path):
    """Words -> the completed process of a sweep in tmp_path; stop=(signal, step) ends its first job, and so all."""

    def ran(*words, stop=None):
        script = [root / "run.py"] if stop is None else [root / "tests" / "stop_at.py", *stop, root / "run.py"]
        return command(*script, "-m", "model=linear", *tiny("linear"), *QUICK, *words, cwd=tmp_path)

    return ran


def jobs(folder):
    """The folders of jobs, with their statuses."""
    found = sorted(path.parent for path in folder.rglob("status.json"))
    return {run.name: json.loads((run / "status.json").read_text()) for run in found}


def test_a_failing_job_is_told_at_the_end_and_tried_again(sweep, tmp_path):
    done = sweep("optimizer.lr=0.01,-1")
    assert done.returncode == 3, done.stderr
    (folder,) = (tmp_path / "outputs" / "multirun").iterdir()
    good, bad = sorted(jobs(folder), reverse=True)
    assert good.startswith("optimizer.lr=0.01-")
    assert bad.startswith("optimizer.lr=-1-")
    assert jobs(folder)[good]["status"] == "done"
    assert (jobs(folder)[bad]["status"], jobs(folder)[bad]["reason"]) == (
        "failed",
        "optimizer.lr=-1: input should be greater than 0",
    )
    assert "InputError" in (folder / "L5" / "linear" / bad / "run.log").read_text()
    assert "| L5 | linear | 1 | 8 |" in done.stdout
    *_, failed, count = done.stderr.splitlines()
    assert failed.startswith("failed: ")
    assert failed.endswith("optimizer.lr=-1: input should be greater than 0")
    assert count == "sweep: 1 of 2 jobs did not finish; the same command runs these again"

    metrics = (folder / "L5" / "linear" / good / "metrics.csv").stat().st_mtime_ns
    again = sweep("optimizer.lr=0.01,-1")
    assert again.returncode == 3
    assert "is finished (max_steps, 8 steps): nothing to resume" in again.stdout
    assert (folder / "L5" / "linear" / good / "metrics.csv").stat().st_mtime_ns == metrics
    assert [folder] == list((tmp_path / "outputs" / "multirun").iterdir())


def test_a_killed_sweep_goes_on(sweep, tmp_path):
    assert sweep("seed=1,2", stop=("SIGKILL", 5)).returncode == -9
    (folder,) = (tmp_path / "outputs" / "multirun").iterdir()
    assert [job["status"] for job in jobs(folder).values()] == ["running"]
    done = sweep("seed=1,2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("resumed from last.ckpt at step 3") == 1
    assert [job["status"] for job in jobs(folder).values()] == ["done", "done"]
    assert "| L5 | linear | 2 | 8 |" in done.stdout


def test_names_of_folders():
    long = folder_name("task.prompts=" + "x" * 500, "1a2b3c4d")
    assert len(long) < 100
    assert folder_name("a=1", "1a2b3c4d") == "a=1-1a2b3c4d"
    assert folder_name("", "1a2b3c4d") == "1a2b3c4d"
    for words in ("data.path=../../etc", "x=/abs", "..", "a=\n b"):
        name = folder_name(words, "1a2b3c4d")
        assert "/" not in name
        assert ".." not in name
        assert name.split() == [name]
