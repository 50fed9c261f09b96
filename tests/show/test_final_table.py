"""The table at the end of a run, in a real terminal, for every task: each number of summary.json that has a place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seqlab.show.layout import NARROW
from seqlab.show.table import number, print_table
from tests.terminal import STYLES, in_terminal

WIDTHS = (50, 60, 80, 100, 120, 200)
FIRST = ("best", "95%", "chance", "oracle", "optimal")
QUICK = ["trainer.max_steps=4", "trainer.val_every=2", "trainer.min_steps=0", "trainer.accelerator=cpu", "logger=csv"]


CONF = Path(__file__).parents[2] / "conf"
# {task: a choice of data that has it}
DATA_OF_TASK = {
    entry["/task@_global_"]: path.stem
    for path in sorted((CONF / "data").glob("*.yaml"))
    for entry in OmegaConf.load(path).defaults
    if "/task@_global_" in entry
}


def expected(summary):
    """{metric: {heading: cell}} of the rows that the table has; an empty cell is left out."""
    rows = {}
    for name in (name for name in summary["metrics"] if name.startswith("test/")):
        metric = name.removeprefix("test/")
        group = name.rpartition("/")[0]
        if group.endswith("_finished") or (
            group != "test" and not any(other.rpartition("/")[0] == group for other in summary["intervals"])
        ):
            continue
        cells = {"best": number(summary["metrics"][name]), "last": number(summary["metrics"][f"test_last/{metric}"])}
        if summary["intervals"].get(name):
            cells["95%"] = "{:.2f}-{:.2f}".format(*summary["intervals"][name])
        if name in summary["counts"]:
            cells["n"] = str(summary["counts"][name])
        rows[metric] = cells | {which: number(of.get(name)) for which, of in summary["baselines"].items()}
    return rows


def shown(summary, columns):
    def work(file):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            print_table(summary)

    return in_terminal(columns, work)


def check(summary):
    rows = expected(summary)
    filled = {heading for cells in rows.values() for heading in cells}
    for columns in WIDTHS:
        text = STYLES.sub("", shown(summary, columns))
        lines = text.splitlines()
        assert "…" not in text
        assert all(len(line) <= columns for line in lines)
        note = " ".join(text.split()).partition(f"Left out at {columns} columns: ")[2]
        left = set(note.partition(". To see all")[0].split("; ")) - {""}
        assert left <= {*filled, "checks"}
        standing = filled - left
        assert "best" in standing
        widths = {
            heading: max(len(word) for word in [*heading.split(), *(cells.get(heading, "") for cells in rows.values())])
            for heading in filled
        }
        for heading in left & set(FIRST):  # what it made way for has more weight, or fits where it does not
            assert all(other in FIRST[: FIRST.index(heading)] or widths[other] < widths[heading] for other in standing)
        for metric, cells in rows.items():
            place = next(place for place, line in enumerate(lines) if line.split()[:1] == [metric])
            if columns < NARROW:
                end = next((p for p in range(place + 1, len(lines)) if not lines[p].startswith("  ")), None)
                row = " ".join(" ".join(lines[place + 1 : end]).split()) + " "
                assert all(f"{heading} {cell} " in row for heading, cell in cells.items())
            else:
                wanted = [cell for heading, cell in cells.items() if heading in standing]
                assert sorted(wanted) == sorted(_without_checks(lines[place].split()[1:]))
    assert "Left out" not in shown(summary, 400)


def _without_checks(cells):
    """Tokens of a line, less those of `0.25 [0.20-0.30]`."""
    spread = next((place for place, cell in enumerate(cells) if cell.startswith("[")), None)
    return cells if spread is None else [*cells[: spread - 1], *cells[spread + 1 :]]


@pytest.fixture(autouse=True)
def environment_of_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def test_languages_and_text(finished_run, text_runs):
    for run in (finished_run[0], text_runs["lstm"]):
        check(json.loads((run / "summary.json").read_text(encoding="utf-8")))


@pytest.mark.slow
@pytest.mark.parametrize("task", DATA_OF_TASK)
def test_every_task(command, root, tiny, tmp_path, task):
    words = [f"data={DATA_OF_TASK[task]}", "model=lstm", *tiny("lstm", DATA_OF_TASK[task]), *QUICK]
    done = command(root / "run.py", *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check(json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8")))


def test_terminals_without_colours_or_styles(finished_run, monkeypatch):
    summary = json.loads((finished_run[0] / "summary.json").read_text(encoding="utf-8"))
    styled = shown(summary, 80)
    assert set(STYLES.findall(styled)) == {"\x1b[0m", "\x1b[1m"}
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(summary, 80) == styled  # bold is no colour
    monkeypatch.setenv("TERM", "dumb")
    for columns in WIDTHS:
        text = shown(summary, columns)
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= columns


def test_a_pipe_gets_every_column_on_one_line(finished_run):
    run_dir, _, process = finished_run
    summary = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    lines = process.stdout.splitlines()
    assert "\x1b" not in process.stdout
    for metric, cells in expected(summary).items():
        (line,) = (line for line in lines if line.split()[:1] == [metric])
        assert sorted(_without_checks(line.split()[1:])) == sorted(cells.values())
        assert line.count("[") == (f"val/{metric}" in summary["last_five_checks"])


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "wishes"), [(60, {"TERM": "dumb"}), (80, {"TERM": "xterm", "NO_COLOR": "1"})])
def test_the_command_itself(root, tiny, environment, tmp_path, columns, wishes):
    words = ["model=lstm", *tiny("lstm"), *QUICK, "hydra.run.dir=run"]

    def run(terminal):
        command = [sys.executable, root / "run.py", *words]
        env = {name: value for name, value in environment.items() if name != "COLUMNS"} | wishes
        subprocess.run(command, cwd=tmp_path, env=env, stdout=terminal, stderr=subprocess.PIPE, check=True, timeout=300)

    text = in_terminal(columns, run)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    rows = [line.split() for line in STYLES.sub("", text).splitlines()]
    for metric, cells in expected(summary).items():
        (row,) = (row for row in rows if row[:1] == [metric])
        assert row[1] == cells["best"]
        assert cells.get("95%", cells["best"]) in row
    assert set(STYLES.findall(text)) == (set() if wishes["TERM"] == "dumb" else {"\x1b[0m", "\x1b[1m"})
