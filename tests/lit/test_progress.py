"""A bar on a terminal; in a log file lines, without anything that only a terminal understands."""

import re

import pytest

from seqlab.lit.progress import ProgressLines

QUICK = ["model=linear", "logger=csv", "trainer.max_steps=6", "trainer.val_every=3", "trainer.log_every=1"]
QUICK += ["trainer.min_steps=0", "trainer.accelerator=cpu", "hydra.run.dir=run"]
AT_ONCE = """
import runpy, sys
from seqlab.lit.progress import ProgressLines
ProgressLines.__init__.__defaults__ = (*ProgressLines.__init__.__defaults__[:-1], 0.0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ON_A_TERMINAL = """
import fcntl, os, pty, runpy, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    os.environ["TERM"] = "xterm"
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.stdout.flush()
    os._exit(0)
try:
    while content := os.read(terminal, 4096):
        os.write(1, content)
except OSError:
    pass  # so ends a terminal
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def run_through(command, root, tiny, tmp_path):
    """(a script) -> the process that ran it on run.py and a quick job."""

    def ran(script):
        (tmp_path / "script.py").write_text(script, encoding="utf-8")
        return command(tmp_path / "script.py", root / "run.py", *tiny("linear"), *QUICK, cwd=tmp_path)

    return ran


def test_a_log_file_gets_lines(run_through):
    done = run_through(AT_ONCE)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("step ") and "steps/s" in line]
    assert len(lines) == 6
    shape = r"step {}/6  train/loss \d\S*{}  [\d.e+]+ steps/s  eta \d+:\d\d"
    assert re.fullmatch(shape.format(1, ""), lines[0])
    assert re.fullmatch(shape.format(6, r"  val/loss \d\S*"), lines[-1])
    assert "\r" not in done.stderr + done.stdout
    assert "\x1b" not in done.stderr + done.stdout


def test_a_terminal_gets_a_bar_and_no_lines(run_through):
    done = run_through(ON_A_TERMINAL)
    assert done.returncode == 0, done.stdout
    assert "\x1b[" in done.stdout
    assert re.search(r"6/6", done.stdout)
    assert "steps/s" not in done.stdout
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stdout)
    assert re.search(r" 6/6 00:00 train/loss \d\S*  val/loss \d\S*  best \d", text), "in the bar"
    assert re.search(r"step 6/6  val/loss \d\S*  (\S+ -> \S+ \(.*?\)(   )?){3}", text), "above the bar, nothing cut"


def test_a_terminal_says_what_it_waits_for_and_a_pipe_what_follows_training(run_through, command, root, tiny, tmp_path):
    done = run_through(ON_A_TERMINAL)
    stages = ["loading torch", "reading or drawing the data", "testing last.ckpt", "baselines", "plots"]
    places = [done.stdout.find(f"\x1b[K{stage}") for stage in stages]
    assert -1 not in places and places == sorted(places)
    assert not re.search(r" \.\.\.\r(?!\x1b\[K)", done.stdout.replace("\n", "")), "a line that nobody erased"
    piped = command(root / "run.py", *tiny("linear"), *QUICK, "hydra.run.dir=piped", cwd=tmp_path)
    assert piped.returncode == 0
    shape = r"step {}/6  train/loss \d\S*  val/loss \d\S*  best \d\S*  (\S+ -> \S+ \(.*?\)(   )?){{3}}"
    lines = piped.stderr.splitlines()  # one for each validation and each stage after training, and nothing else
    assert [bool(re.fullmatch(shape.format(step), line)) for step, line in zip((3, 6), lines, strict=False)] == [
        True
    ] * 2
    assert lines[2:] == [f"{stage} ..." for stage in ("testing last.ckpt", "baselines", "predictions", "plots")]
    assert set(lines[:2]) <= set((tmp_path / "piped" / "run.log").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 6), (3600.0, 0)])
def test_lines_keep_their_distance(prepare, capsys, seconds, expected):
    run, trainer = prepare("model=linear", *QUICK[1:-1])
    trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, ProgressLines)]
    trainer.callbacks.append(ProgressLines(seconds=seconds))
    trainer.fit(run.module, datamodule=run.datamodule)
    assert capsys.readouterr().err.count("steps/s") == expected
