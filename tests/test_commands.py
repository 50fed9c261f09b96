"""The one command `seqlab`: its words, what they import, and where it finds the configurations."""

import json
import subprocess
import sys

import pytest

from seqlab.__main__ import main
from seqlab.check import PACKAGES
from seqlab.commands import COMMANDS
from seqlab.run.launch import TRAIN

HEAVY = {"torch", "lightning", "scipy", "matplotlib", "sklearn", "transformers", "numpy"}
MADE_ONCE = {"lm.derive_plays", "sequences.named", "sequences.decision_list"}  # these made parts of the project
POOLS = {"sequences.folds"}  # `seqlab folds` is that of semiprimes
LOADED = """
import json, sys
before = set(sys.modules)
from seqlab.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(json.dumps([code, sorted(set(sys.modules) - before)]))
"""


@pytest.fixture
def loaded(python):
    """Words of `seqlab` -> the exit code, the modules that a fresh interpreter loads for them, and the text printed."""

    def ran(*words):
        done = python("-c", LOADED, *words)
        assert done.returncode == 0, done.stderr
        *text, last = done.stdout.splitlines()
        code, modules = json.loads(last)
        return code, set(modules), "\n".join(text)

    return ran


def test_every_module_that_is_a_command_has_a_word(root):
    modules = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    found = {path for path in modules if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}
    names = {".".join(path.relative_to(root).with_suffix("").parts) for path in found}
    assert names - MADE_ONCE - POOLS - {"seqlab.__main__"} <= {command.module for command in COMMANDS.values()}


def test_the_list_of_commands_loads_almost_nothing(loaded):
    for words in ([], ["--help"], ["-h"]):
        code, modules, text = loaded(*words)
        assert code == 0 and text.startswith("usage: seqlab COMMAND")
        assert all(f"  {name} " in text and command.purpose in text for name, command in COMMANDS.items())
        assert not modules & (HEAVY | {"hydra", "omegaconf", "yaml", "pydantic"})
        assert len(modules) < 120  # 75 with Python 3.11: what argparse, signal and difflib bring


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_loads_no_heavy_library(loaded, name):
    code, modules, text = loaded(name, "--help")
    assert code == 0
    assert f"seqlab {name}" in text
    allowed = {"numpy"} if name in ("report", "folds") else set()
    assert not modules & (HEAVY - allowed)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["trian", "model=lstm"],
            "error: trian: no such command; did you mean train? (allowed: ",
        ),
        (["lstm"], "error: lstm: no such command; allowed: "),
        ([""], "error: '': no such command; allowed: "),
    ],
)
def test_an_unknown_word_is_one_line(capsys, words, line):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(line)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "model=lstm", "data=L3", "--cfg", "job"],
        ["model=lstm", "data=L3", "--cfg", "job"],
        ["--cfg", "job", "data=L3", "model=lstm"],
    ],
    ids=" ".join,
)
def test_overrides_and_options_without_a_command_train(command, words):
    done = command("-m", "seqlab", *words)
    assert done.returncode == 0, done.stderr
    for name in ("seqlab.models.lstm.LSTM", "rule_extrapolation.letters.ANBN"):
        assert f"_target_: {name}\n" in done.stdout


def test_a_word_reaches_its_command(command, finished_run):
    done = command("-m", "seqlab", "predict", finished_run[0], "( [ ]")
    assert done.returncode == 0, done.stderr
    assert done.stdout == command("-m", "seqlab.predict", finished_run[0], "( [ ]").stdout
    assert "completion" in done.stdout


def test_a_sweep_by_word(command, tiny, tmp_path):
    quick = ["trainer.max_steps=4", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu"]
    sizes = tiny("linear")
    done = command("-m", "seqlab", "-m", "model=linear", "seed=1,2", *sizes, *quick, "logger=csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs").rglob("summary.json"))) == 2


def test_a_new_process_uses_this_very_package(tmp_path):
    """Also where Python would find another."""
    (tmp_path / "seqlab").mkdir()
    (tmp_path / "seqlab" / "__init__.py").write_text("raise ImportError('another')", encoding="utf-8")
    done = subprocess.run(
        [*TRAIN, "model=linear", "--cfg", "job"],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert TRAIN[0] == sys.executable
    assert done.returncode == 0, done.stderr
    assert "_target_: seqlab.models.linear.Linear" in done.stdout
