"""Completion in a shell: the words that may follow, and bash itself; zsh and fish where they are installed."""

import os
import shutil
import subprocess
import sys

import pytest

from seqlab.commands import COMMANDS
from seqlab.completion import completed

# What readline does: it hands over the line and replaces the part of the word behind the last character of WORDBREAKS.
BASH = """
eval "$(seqlab completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
_seqlab
printf '%s\\n' "${COMPREPLY[@]}"
complete -p seqlab
"""
# zsh and fish complete a line only where a terminal is; both can be asked for the candidates of a line.
FISH = 'seqlab completion fish | source\ncomplete -C "$argv[1]"\n'
ZSH = """
autoload -Uz compinit && compinit -u -D
eval "$(seqlab completion zsh)"
compadd() { while [[ $1 == -* && $1 != -a ]]; do [[ $1 == -S ]] && shift; shift; done; print -l -- ${(P)2} }
words=(${=1}) CURRENT=${#words}
_seqlab
print $_comps[seqlab]
"""


@pytest.fixture
def shell(environment, tmp_path):
    """(shell, script, line) -> what the shell prints, with `seqlab` on its path."""
    program = tmp_path / "path" / "seqlab"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seqlab "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}

    def printed(name, script, line):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        words = [name, "-c", script, line] if name == "fish" else [name, "-c", script, name, line]
        done = subprocess.run(
            words, env=environment | path, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=60
        )
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.splitlines()

    return printed


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seqlab ex", ["experiment=", "explain", "export"]),
        ("seqlab train mo", ["model.", "model="]),
        ("seqlab model=bi", ["model=binary_lstm", "model=bits_transformer"]),
        ("seqlab memory optimizer=r", ["optimizer=rmsprop", "optimizer=rprop"]),
        ("seqlab train +experiment=recurrence_h", ["+experiment=recurrence_hour"]),
        ("seqlab search ls", ["lstm_lr"]),
        ("seqlab model=arithmetic model@model.body=ls", ["model@model.body=lstm"]),
        ("seqlab profile m", ["model.", "model="]),
        ("seqlab profile variant=gr", ["variant=gru"]),
        ("seqlab profile model=lstm --suite q", ["quick"]),
        ("seqlab profile data=L", []),
        ("seqlab completion ", ["bash", "fish", "zsh"]),
        ("seqlab report out", []),
        ("seqlab train data.path=", []),
        ("seqlab", sorted({*completed("seqlab ")})),
    ],
)
def test_words(line, words):
    assert completed(line) == words


def test_the_first_word_is_a_command_or_an_override():
    assert set(COMMANDS) | {"model=", "data=", "trainer.", "seed="} <= set(completed("seqlab "))


@pytest.mark.parametrize(
    ("overrides", "start", "there", "missing"),
    [
        ("", "model.", "model.num_heads=", "model.d_state="),
        ("model=mamba", "model.", "model.d_state=", "model.num_heads="),
        ("data=text", "data.", "data.corpus=", "data.max_length="),  # keys of the task that the data set chooses
        ("optimizer=sgd", "optimizer.", "optimizer.momentum=", "optimizer.betas="),
    ],
)
def test_keys_are_those_of_the_chosen_configuration(overrides, start, there, missing):
    found = completed(f"seqlab train {overrides} {start}")
    assert there in found and missing not in found


def test_keys_are_those_that_hydra_has(compose):
    """Every key of the completion is in the configuration that Hydra composes, and the other way round."""

    def leaves(node, path=""):
        for key, value in node.items():
            name = f"{path}.{key}".lstrip(".")
            if isinstance(value, dict) and value:
                yield from leaves(value, name)
            elif not key.startswith("_"):
                yield name

    for model, data in (("transformer", "L5"), ("lstm", "text"), ("deep_lstm", "series")):
        words, waiting = set(), [""]
        while waiting:
            for word in completed(f"seqlab model={model} data={data} {waiting.pop()}"):
                if word.endswith("."):
                    waiting.append(word)
                elif word.endswith("="):
                    words.add(word[:-1])
        groups = {"model", "data", "language", "optimizer", "schedule", "trainer", "clipping", "logger", "protocol"}
        groups.add("experiment")
        expected = set(leaves(compose(f"model={model}", f"data={data}", full=True))) | {"resume"}
        assert words - groups == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seqlab pre", ["predict"]),
        ("seqlab model=bi", ["binary_lstm", "bits_transformer"]),  # readline keeps model=
        ("seqlab train model=linear optimizer.weight", ["optimizer.weight_decay="]),
        ("seqlab -m   data=L5 seed=1,2 model.d_m", ["model.d_model="]),
        ("seqlab report out", [""]),
    ],
)
def test_bash(shell, line, words):
    *found, registered = shell("bash", BASH, line)
    assert found == words
    assert registered == "complete -o default -F _seqlab seqlab"


LINES = [("seqlab pre", ["predict"]), ("seqlab model=bi", ["model=binary_lstm", "model=bits_transformer"])]


@pytest.mark.parametrize(("line", "words"), LINES)
def test_fish(shell, line, words):
    assert [word.partition("\t")[0] for word in shell("fish", FISH, line)] == words


@pytest.mark.parametrize(("line", "words"), LINES)
def test_zsh(shell, line, words):
    *found, registered = shell("zsh", ZSH, line)
    assert [word for word in found if word] == words
    assert registered == "_seqlab"
