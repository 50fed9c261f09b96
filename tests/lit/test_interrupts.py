"""Signals end a real run between two steps: checkpoint and summary are written, the exit code says which signal."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

import seqlab


@pytest.fixture
def begun(root, environment, tmp_path):
    """(words, where stdout goes) -> the process of `python run.py WORDS` in tmp_path."""

    def begin(*words, stdout=subprocess.PIPE):
        return subprocess.Popen(
            [sys.executable, str(root / "run.py"), *words],
            cwd=tmp_path,
            env=environment,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    return begin


@pytest.fixture
def started(begun, tiny, tmp_path):
    """A run that would take long, once its first last.ckpt is there; (process, run directory)."""
    run_dir = tmp_path / "run"
    words = ["trainer=fast", "trainer.max_steps=1000000", "trainer.patience=1000000", "trainer.accelerator=cpu"]
    process = begun(*tiny("transformer"), *words, f"hydra.run.dir={run_dir}")
    deadline = time.monotonic() + 120
    while not (run_dir / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield process, run_dir
    process.kill()
    process.wait()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_checkpoint_and_summary(started, root, signum, code):
    process, run_dir = started
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    summary = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    assert summary["stopped"] == "interrupted"
    said, resume = [line for line in stderr.splitlines() if line][-2:]
    assert said == f"interrupted: {signum.name} at step {summary['steps']}; last.ckpt is saved"
    assert resume == f"to resume it: python {root / 'run.py'} resume=run"
    assert "Traceback" not in stderr

    content = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == summary["steps"] > 0
    run = seqlab.load_run(run_dir, "last.ckpt")
    assert all(torch.equal(run.module.state_dict()[name], value) for name, value in content["state_dict"].items())


@pytest.mark.parametrize(("signum", "said", "code"), [(signal.SIGTERM, ": SIGTERM", 143), (signal.SIGINT, "", 130)])
def test_a_signal_after_training_says_how_to_go_on_and_the_rest_follows(
    begun, command, root, tiny, tmp_path, signum, said, code
):
    words = ["trainer.max_steps=2", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu"]
    process = begun(*tiny("linear"), *words, "logger=csv", "hydra.run.dir=run", stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    while (line := process.stderr.readline()) != "predictions ...\n":
        assert line, "the run ended before"
    process.send_signal(signum)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == code, stderr
    expected = [f"interrupted{said}", f"to resume it: python {root / 'run.py'} resume=run"]
    assert [line for line in stderr.splitlines() if line and not line.endswith(" ...")] == expected
    assert json.loads((tmp_path / "run" / "status.json").read_text(encoding="utf-8"))["status"] == "interrupted"
    done = command(root / "run.py", "resume=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "seed 1, 2 steps" in done.stdout
