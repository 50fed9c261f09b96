"""Ctrl-C and SIGTERM while a command starts: one line, the exit code of the signal, and nothing left behind."""

import signal
import subprocess
import sys

import pytest

from seqlab.check import PACKAGES

COMMANDS = {
    "seqlab.predict": ["RUN", "x"],
    "seqlab.export": ["RUN", "--format", "bf16"],
    "seqlab.memory": ["model=linear"],
    "seqlab.verify": ["model=linear"],
    "seqlab.report": ["."],
    "seqlab.search": ["lstm_lr"],
    "lm.generate": ["RUN"],
    "lm.evaluate": ["RUN", "--text", "FILE"],
    "lm.retrieval": ["RUN"],
    "lm.finetune": ["RUN"],
    "lm.index": ["RUN"],
    "factorization.explain": ["RUN"],
    "factorization.folds": ["RUN"],
    "sequences.paired": ["RUN"],
    "sequences.folds": ["RUN"],
    "seqlab.play": ["RUN"],
    "seqlab.profile": ["model=linear"],
}
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "interrupted: SIGTERM")}
STOP = """
import os, runpy, signal, sys
from pathlib import Path

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            assert Path("runs/one").is_dir()
            os.kill(os.getpid(), signal.SIGINT)

_, module, script, *words = sys.argv
sys.meta_path.insert(0, Stop())
sys.argv = [script, *words]
sys.path.insert(0, str(Path(script).parent))
runpy.run_path(script, run_name="__main__")
"""
IMPORTED = "import time:"  # how python -X importtime begins a line


@pytest.fixture
def stopped(environment, tmp_path):
    """(words after `python`, modules, signal): a command that gets the signal once it has imported one of these.

    Returns the exit code and what it printed on stderr, in lines.
    """

    def ran(words, modules, signum):
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", *map(str, words)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert process.stderr is not None
        lines, sent = [], False
        for line in process.stderr:
            if line.startswith(IMPORTED):
                if line.rpartition("|")[2].strip() in modules and not sent:
                    process.send_signal(signum)
                    sent = True
            else:
                lines.append(line.rstrip("\n"))
        assert sent, lines
        return process.wait(), lines

    return ran


def test_every_command_is_here(root):
    modules = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    others = {"lm.derive_plays", "sequences.named", "sequences.decision_list"}  # they made parts of the project
    others |= {"seqlab"}  # calls one of those here
    found = {path for path in modules if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}
    names = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__main__") for path in found}
    assert names - others == set(COMMANDS)


@pytest.mark.parametrize(
    "command", [name if name == "seqlab.predict" else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
def test_ctrl_c_while_a_command_imports(stopped, command):
    assert stopped(["-m", command, *COMMANDS[command]], {"omegaconf", "torch"}, signal.SIGINT) == (130, ["interrupted"])


@pytest.mark.parametrize("signum", CODES)
@pytest.mark.parametrize("module", ["omegaconf", "torch"])
def test_a_signal_while_run_py_imports(root, stopped, tmp_path, module, signum):
    code, line = CODES[signum]
    words = [root / "run.py", "model=linear", "hydra.run.dir=runs/one"]
    assert stopped(words, {module}, signum) == (code, [line])
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_seqlab_imports(stopped, tmp_path):
    words = ["-m", "seqlab", "model=linear", "hydra.run.dir=runs/one"]
    assert stopped(words, {"torch"}, signal.SIGINT) == (130, ["interrupted"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("used", [False, True])
def test_ctrl_c_between_the_imports_and_the_first_step(root, python, tmp_path, used):
    """The process gets it from itself, as it begins to import the data's module: the configuration is composed."""
    if used:
        (tmp_path / "runs" / "one").mkdir(parents=True)
        (tmp_path / "runs" / "one" / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "stop.py").write_text(STOP, encoding="utf-8")
    words = ["model=linear", "data=L5", "hydra.run.dir=runs/one"]
    done = python(tmp_path / "stop.py", "rule_extrapolation.datamodule", root / "run.py", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
    assert (tmp_path / "runs").exists() == used
    if used:
        assert (tmp_path / "runs" / "one" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_signal_that_is_ignored_stays_so(python):
    """As of a command that `nohup` or a shell's & started."""
    code = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from seqlab.starting import started, starting\nstarting()\nos.kill(os.getpid(), signal.SIGINT)\n"
        "started()\nprint(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    )
    assert python("-c", code).stdout == "True\n"


def test_behind_the_imports_signals_are_as_in_any_program(python):
    code = (
        "import signal\nfrom seqlab.starting import started, starting\nstarting()\nstarted()\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGTERM).name)"
    )
    assert python("-c", code).stdout == "True SIG_DFL\n"


def test_garbage_is_collected_behind_the_imports_and_what_they_made_is_not_searched(python):
    code = (
        "import gc\nfrom seqlab.starting import started, starting\nstarting()\nbefore = gc.isenabled()\n"
        "import argparse\nstarted()\nprint(before, gc.isenabled(), gc.get_freeze_count() > 1000)"
    )
    assert python("-c", code).stdout == "False True True\n"


@pytest.mark.parametrize("words", [["--nope"], [], ["RUN", "x", "y"]])
def test_options_that_there_are_not_are_one_line(command, words):
    done = command("-m", "seqlab.predict", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")
