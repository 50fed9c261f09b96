"""Sweeps: a folder and a process for each job; the same command again runs what is missing. On every launcher."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from seqlab.run.config import folder_name
from seqlab.run.directory import RunDirectory
from seqlab.run.launch import num_cores, num_threads

QUICK = ["trainer.max_steps=8", "trainer.val_every=3", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]
LONG = ["trainer.max_steps=900", "trainer.min_steps=900", "trainer.val_every=900", "trainer.log_every=1"]


@pytest.fixture
def words(root, tiny):
    """The words of a sweep over tiny jobs."""
    return [root / "run.py", "-m", "model=linear", *tiny("linear"), *QUICK]


@pytest.fixture
def sweep(command, words, tmp_path):
    """Further words -> the completed process of a sweep in tmp_path."""
    return lambda *more: command(*words, *more, cwd=tmp_path)


@pytest.fixture
def started(words, environment, tmp_path):
    """Further words -> a sweep in tmp_path that has begun to train, and the metrics.csv of its first job."""

    def start(*more):
        command = [sys.executable, *map(str, words), *more]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
        for _ in range(1200):
            time.sleep(0.1)
            files = list(tmp_path.rglob("metrics.csv"))
            if files and files[0].read_bytes().count(b"\n") > 3:
                return process, files[0].parent
        raise TimeoutError("no job began to train")

    return start


def jobs(folder):
    """The folders of jobs, with their statuses."""
    found = sorted(path.parent for path in folder.rglob("status.json"))
    return {run.name: json.loads((run / "status.json").read_text(encoding="utf-8")) for run in found}


def children_of(process):
    """The processes that a process has started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, encoding="utf-8"
    )
    return [int(pid) for pid in listed.stdout.split()]


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
    assert "InputError" in (folder / "L5" / "linear" / bad / "run.log").read_text(encoding="utf-8")
    first, second = (line for line in done.stdout.splitlines() if re.match(r"\d/\d ", line))
    shape = r"1/2 done, about \d+ s left: linear on L5, optimizer.lr=0.01; loss \d\S+, \S.* \d\S+; \d+ s"
    assert re.fullmatch(shape, first)
    refused = "2/2 failed: linear on L5, optimizer.lr=-1; optimizer.lr=-1: input should be greater than 0; "
    assert second.startswith(refused)
    assert "95%" not in done.stdout and "next: " not in done.stdout  # the job's own table is in its run.log
    assert "95%" in (folder / "L5" / "linear" / good / "run.log").read_text(encoding="utf-8")
    assert re.search("^L5 +linear +1 ", done.stdout, re.MULTILINE)
    *_, failed, count = done.stderr.splitlines()
    assert failed.startswith("failed: ")
    assert failed.endswith("optimizer.lr=-1: input should be greater than 0")
    assert count == "sweep: 1 of 2 jobs did not finish; the same command runs these again"

    metrics = (folder / "L5" / "linear" / good / "metrics.csv").stat().st_mtime_ns
    again = sweep("optimizer.lr=0.01,-1")
    assert again.returncode == 3
    assert "is finished: nothing to resume" in again.stdout
    assert (folder / "L5" / "linear" / good / "metrics.csv").stat().st_mtime_ns == metrics
    assert [folder] == list((tmp_path / "outputs" / "multirun").iterdir())


def test_a_killed_job_does_not_stop_the_others(started):
    process, run = started(*LONG, "trainer.max_steps=1500,8", "trainer.min_steps=0", "trainer.val_every=4")
    (child,) = children_of(process)
    os.kill(child, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3
    assert [(job["status"], job["reason"]) for job in jobs(run.parent).values()] == [
        ("failed", "killed by SIGKILL"),
        ("done", "max_steps"),
    ]
    assert err.splitlines()[-2].endswith("killed by SIGKILL")
    assert "killed by SIGKILL" in (run / "run.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("signum", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_a_sweep_that_is_ended_saves_its_job_and_goes_on_with_it(signum, code, started, sweep):
    process, run = started(*LONG, "seed=1,2")
    process.send_signal(signum)
    process.communicate(timeout=60)
    assert process.returncode == code
    for _ in range(300):
        if not RunDirectory(run).in_use():
            break
        time.sleep(0.1)
    (job,) = jobs(run.parent).values()
    assert job["status"] == "interrupted"
    assert "last.ckpt is saved" in job["reason"]
    if signum == signal.SIGTERM:
        done = sweep(*LONG, "seed=1,2")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("resumed from last.ckpt at step") == 1
        assert [job["status"] for job in jobs(run.parent).values()] == ["done", "done"]


@pytest.mark.parametrize("launcher", ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)])
def test_launchers(launcher, python, words, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    done = python(*words, "optimizer.lr=0.01,-1", f"hydra/launcher={launcher}", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert [job["status"] for job in jobs(tmp_path).values()] == ["failed", "done"]
    assert done.stderr.splitlines()[-1].startswith("sweep: 1 of 2 jobs did not finish")
    assert re.search("^L5 +linear +1 ", done.stdout, re.MULTILINE)


SBATCH = """#!{python}
'''Stands in for sbatch: keeps the script, and runs its array of jobs.'''
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
open("{folder}/script.sh", "w").write(script)
first, last = map(int, re.search(r"--array=([0-9]+)-([0-9]+)", script).groups())
for index in range(first, last + 1):
    job = dict(SLURM_JOB_ID=str(100 + index), SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID=str(index),
               SLURM_NTASKS="1", SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0", SLURM_JOB_NODELIST="here",
               SLURM_JOB_NUM_NODES="1", SLURM_CPUS_PER_TASK="1")
    subprocess.Popen(["bash", sys.argv[-1]], env=os.environ | job, stdout=subprocess.DEVNULL,
                     stderr=open("{folder}/stderr", "a"))
print("Submitted batch job 7")
"""
SRUN = """#!/bin/bash
# Stands in for srun: its own options, then the command.
while [[ $1 == -* ]]; do
    case $1 in --output|--error|-o|-e) shift 2;; *) shift;; esac
done
exec "$@"
"""
SACCT = "#!/bin/bash\necho 'JobID|State|NodeList'\n"


@pytest.mark.slow
def test_slurm(words, environment, tmp_path):
    """The script that goes to sbatch, and a whole sweep through it, with stand-ins for SLURM's commands."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    folder = tmp_path / "bin"
    folder.mkdir()
    sbatch = SBATCH.format(python=sys.executable, folder=folder)
    for name, text in {"sbatch": sbatch, "srun": SRUN, "sacct": SACCT}.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    slurm = ["hydra/launcher=slurm", "hydra.launcher.partition=short", "hydra.launcher.cpus_per_task=1"]
    command = [sys.executable, *map(str, words), "optimizer.lr=0.01,-1", "trainer=ddp", "trainer.max_steps=8", *slurm]
    path = f"{folder}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=280,
        encoding="utf-8",
    )
    script = (folder / "script.sh").read_text(encoding="utf-8")
    for option in ("cpus-per-task=1", "partition=short", "time=240", "mem=16GB", "array=0-1%", "ntasks-per-node=1"):
        assert f"#SBATCH --{option}" in script
    assert "srun" in script
    assert done.returncode == 3, done.stderr + (folder / "stderr").read_text(encoding="utf-8")
    assert [job["status"] for job in jobs(tmp_path).values()] == ["failed", "done"]


def test_threads_are_the_cores_shared_out():
    cores = num_cores()
    assert num_threads({}, 1) == cores
    assert num_threads({"n_jobs": cores}, 1) == 1
    assert num_threads({"n_jobs": -1}, 1) == 1
    assert num_threads({"n_jobs": 10 * cores}, 1) == 1
    assert num_threads({"n_jobs": 1}, cores) == 1
    assert num_threads({"cpus_per_task": 6}, 2) == 3
    assert num_threads({"cpus_per_task": None}, 1) == 1
    assert num_threads({"ray": {"init": {}, "remote": {"num_cpus": 3}}}, 1) == 3


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
