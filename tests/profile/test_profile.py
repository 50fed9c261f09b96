"""seqlab profile from end to end: two tiny cells, cut off and gone on with, and bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from urllib.parse import unquote

import pytest

from seqlab.profile.rows import read_rows

FREE = {"seconds": None}  # what may differ between two runs of the same profile


def rows_in(out):
    """The rows of a profile without the time that they took, in a fixed order."""
    rows = [replace(row, **FREE) for row in read_rows(out / "rows.csv")]
    return sorted(rows, key=lambda row: (row.cell, row.metric))


def test_a_line_for_each_cell_then_a_table_a_figure_and_a_page(profiled):
    out, printed = profiled
    lines = [line for line in printed.splitlines() if " done" in line]
    assert [line.partition(" ")[0] for line in lines] == ["1/2", "2/2"]
    assert "left" in lines[0] and "linear on parity, seed 1; state" in printed
    assert "By ability" in printed and "4,000 parameters" in printed
    assert {"profile.png", "profile.svg", "profile.html", "rows.csv"} <= {path.name for path in out.iterdir()}
    links = re.findall('<a href="([^"]+)"', (out / "profile.html").read_text(encoding="utf-8"))
    assert len(links) == 2 and all((out / unquote(link) / "summary.json").is_file() for link in links)


def test_rows_say_what_was_run(profiled):
    rows = {(row.cell, row.ability): row for row in rows_in(profiled[0])}
    assert set(rows) == {("parity", "state"), ("parity", "length"), ("L3", "counting")}
    state = rows["parity", "state"]
    assert state.steps == 20 and state.rate == 1e-3 and state.budget == 4000 and state.optimum == "oracle"
    assert state.targets == pytest.approx(20 * 8 * 4.5, rel=0.3)  # strings of 1 to 8 steps, eight in a batch
    assert [length for length, _ in state.points] == list(range(1, 9))
    assert state.bounds is not None and state.bounds[1] < state.bounds[0] < state.bounds[2]


def test_a_cell_that_cannot_run_is_empty_with_its_reason(profiled):
    rows = {(row.cell, row.ability): row for row in rows_in(profiled[0])}
    assert rows["parity", "length"].value is None  # the linear model reads no more than in training
    assert "no value of test/9-12/last" in rows["parity", "length"].reason
    assert "no value of test/9-12/last" in profiled[1]


def test_what_is_done_is_not_done_again(profile, profiled):
    out, _ = profiled
    before = (out / "rows.csv").read_bytes()
    done = profile("model=linear", "--out", out)
    assert done.returncode == 0 and " done" not in done.stdout and "By ability" in done.stdout
    assert (out / "rows.csv").read_bytes() == before


def test_a_profile_that_lacks_a_cell_goes_on(profile, profiled, tmp_path):
    """As after a kill between two cells."""
    whole, out = profiled[0], tmp_path / "out"
    shutil.copytree(whole, out)
    lines = (out / "rows.csv").read_text(encoding="utf-8").splitlines()
    (out / "rows.csv").write_text("\n".join(line for line in lines if ",L3," not in line) + "\n", encoding="utf-8")
    (gone,) = out.glob("runs/*/L3,seed=1")
    shutil.rmtree(gone)
    done = profile("model=linear", "--out", out, "--json")
    assert done.returncode == 0 and "1/1 done" in done.stderr
    assert len(json.loads(done.stdout)) == 3
    assert rows_in(out) == rows_in(whole)


def test_json_holds_the_rows(profile, profiled):
    done = profile("--out", profiled[0], "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["cell"] for row in rows if row["model"] == "linear"} == {"parity", "L3"}


def test_rows_of_a_stranger_stand_beside(profile, profiled, tmp_path):
    file = tmp_path / "theirs.csv"
    text = (profiled[0] / "rows.csv").read_text(encoding="utf-8")
    file.write_text(text.replace(",linear,", ",theirs,"), encoding="utf-8")
    done = profile("--out", tmp_path / "out", "--compare", file)
    assert done.returncode == 0, done.stderr
    assert "theirs (theirs.csv)" in done.stdout


@pytest.mark.slow
def test_the_learning_rate_is_the_one_with_the_lowest_validation_loss(command, folder, tmp_path):
    words = ["model=lstm", "--suite", "rates", "--config-dir", folder, "--out", tmp_path / "out"]
    done = command("-m", "seqlab", "profile", *words)
    assert done.returncode == 0, done.stderr
    trials = {
        float(file.parent.name.partition("rate=")[2]): json.loads(file.read_text(encoding="utf-8"))["val_loss"]
        for file in (tmp_path / "out").glob("runs/*/parity,rate=*/profile.json")
    }
    assert len(trials) == 3
    assert {row.rate for row in read_rows(tmp_path / "out" / "rows.csv")} == {min(trials, key=trials.get)}
    assert sum("rate " in line and "validation loss" in line for line in done.stdout.splitlines()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_it_goes_on_to_the_same_rows(environment, folder, profiled, profile, tmp_path, signum):
    out = tmp_path / "out"
    words = ["profile", "model=linear", "--suite", "tiny", "--config-dir", str(folder), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "seqlab", *words], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    for _ in range(3000):
        if list(out.glob("runs/*/*/checkpoints/last.ckpt")):  # one of the two has validated
            break
        time.sleep(0.02)
    os.kill(process.pid, signum)
    process.wait(60)
    time.sleep(5 if signum == signal.SIGKILL else 0)  # its runs end by themselves
    done = profile("model=linear", "--out", out)
    assert done.returncode == 0, done.stderr
    assert rows_in(out) == rows_in(profiled[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=lstn"], "model=lstn: no such model; did you mean lstm?"),
        (["variant=grv"], "variant=grv: no such variant; did you mean gru?"),
        (["model=lstm", "data=L3"], "data=L3: a profile takes the model alone"),
        (["model.d_model=8"], "model.d_model=8: whose?"),
        (["model=lstm", "--model", "lstm"], "a model is named twice"),
        (["model=lstm", "model.d_modle=8"], "d_modle"),
        (["model=lstm", "model.cell=grv"], "model.cell=grv"),
        (["model=linear", "hydra/launcher=slrum"], "slrum"),
        (["--suite", "quik"], "--suite quik: no such suite; did you mean quick?"),
        (["--compare", "absent.csv"], "absent.csv: No such file"),
        ([], "no rows of suite tiny yet"),
    ],
)
def test_bad_input_ends_with_one_line(profile, tmp_path, words, said):
    done = profile(*words, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and said in line


def test_the_list_has_every_suite_with_its_budget(profile):
    done = profile("--list")
    assert done.returncode == 0 and done.stderr == ""
    for suite in ("quick 2", "standard 2", "full 2", "tiny 1"):
        assert f"\n{suite}: " in f"\n{done.stdout}"
    assert "L3" in done.stdout and "20 steps        720 targets" in done.stdout
