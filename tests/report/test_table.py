"""python -m seqlab.report: which runs make a row, their mean and spread, the best, and the runs that are in no row."""

import csv
import io
import json
import shutil

import pytest
from filelock import FileLock

from seqlab.report.__main__ import main

HEAD = ["| data | model | n | steps | time | val loss | accuracy |", "| - | - | - | - | - | - | - |"]


def accuracy(value):
    return {"test/accuracy": value}


def test_seeds_are_averaged_and_the_best_is_bold(leave, report):
    leave("deep/er/1", "lstm", 1, accuracy(0.5), losses=[3.0, 2.0, 2.5])
    leave("deep/er/2", "lstm", 2, accuracy(0.7), losses=[4.0])
    leave("other", "linear", 1, accuracy(0.6), losses=[1.0])
    assert report().splitlines() == [
        *HEAD,
        "| L1 | lstm | 2 | 9 | 1.0 min | 3.000 ± 1.414 | **0.600 ± 0.141** |",
        "| L1 | linear | 1 | 9 | 1.0 min | **1.000** | **0.600** |",
        "| L1 | chance |  |  |  | - | 0.250 |",
    ]


def test_settings_are_rows_of_their_own(leave, report):
    leave("1", seed=1, metrics=accuracy(0.5))
    leave("2", seed=2, metrics=accuracy(0.6), config={"debug": True, "resume": "auto"})
    leave("3", seed=1, metrics=accuracy(0.9), config={"optimizer": {"lr": 0.2}, "schedule": {"_target_": "a.Cosine"}})
    leave("4", "linear", metrics=accuracy(0.1), config={"optimizer": {"lr": 0.3}})
    assert [line.split(" | ")[1:3] for line in report().splitlines()[2:5]] == [
        ["lstm optimizer.lr=0.1", "2"],
        ["lstm optimizer.lr=0.2 schedule=Cosine", "1"],
        ["linear", "1"],  # that another model has another rate is no setting of this one
    ]


def test_a_run_that_was_continued_has_the_steps_it_was_continued_to(leave, report):
    for name, seed, words in (("1", 1, ["seed=1"]), ("2", 2, ["seed=2", "trainer.max_steps=30"])):
        folder = leave(name, seed=seed, config={"trainer": {"max_steps": 20}})
        (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(words), encoding="utf-8")
    assert "lstm trainer.max_steps=20 | 1 |" in report()
    assert "lstm trainer.max_steps=30 | 1 |" in report()


def test_runs_that_kept_no_configuration_are_one_group(leave, report):
    for seed in (1, 2):
        shutil.rmtree(leave(str(seed), seed=seed) / ".hydra")
    assert "| lstm | 2 |" in report()
    leave("3", seed=3)
    assert "| lstm (no configuration kept) | 2 |" in report()


def test_other_test_data_are_another_block_with_its_own_best_and_baselines(leave, report):
    leave("1", metrics=accuracy(0.5), config={"data": {"length": 10}})
    leave("2", metrics=accuracy(0.3), config={"data": {"length": 99}}, description="longer",
          baselines={"chance": accuracy(0.4)})  # fmt: skip
    assert [line.split(" | ")[1] + " " + line.split(" | ")[-1] for line in report().splitlines()[2:]] == [
        "lstm data.length=10 **0.500** |",
        "chance 0.250 |",
        "lstm data.length=99 0.300 |",
        "chance **0.400** |",
    ]


@pytest.mark.parametrize(
    ("better", "best"), [({"test/accuracy": "low"}, [False, False, True]), ({}, [False, False, False])]
)
def test_a_task_says_what_is_better(leave, report, better, best):
    leave("1", "lstm", metrics=accuracy(0.5), better=better)
    leave("2", "linear", metrics=accuracy(0.6), better=better)
    assert [line.endswith("** |") for line in report().splitlines()[2:]] == best


def test_baselines_that_differ_between_runs_have_a_spread(leave, report):
    for seed, value in ((1, 0.2), (2, 0.4), (3, 0.4)):
        leave(str(seed), seed=seed, baselines={"ngram": accuracy(value), "chance": accuracy(0.25)})
    assert "| L1 | ngram | 2 |  |  | - | 0.300 ± 0.141 |" in report()
    assert "| L1 | chance |  |  |  | - | 0.250 |" in report()


def test_metrics_that_a_seed_lacks_say_so(leave, report):
    leave("1", seed=1, metrics=accuracy(0.5))
    (leave("2", seed=2, metrics=accuracy(None) | {"test/loss": 1.0}) / "metrics.csv").unlink()
    assert "| lstm | 2 | 9 | 1.0 min | **2.000 (n=1)** | **0.500 (n=1)** |" in report()


def test_runs_that_are_not_in_the_table_are_listed_with_their_reasons(leave, report, tmp_path):
    leave("good")
    leave("failed", status="failed", reason="loss is nan | at step 3", metrics={})
    leave("stopped", status="interrupted", reason="SIGINT at step 4", metrics={})
    leave("killed", status="running", metrics={})
    held = leave("held", status="running", metrics={})
    (leave("early", status="failed", reason="no memory") / "summary.json").unlink()
    (leave("old", metrics={}, stopped="not_finite") / "status.json").unlink()
    (leave("cut") / "summary.json").write_text('{"model": "lst', encoding="utf-8")
    (leave("odd") / "summary.json").write_text('{"model": "lstm"}', encoding="utf-8")
    (leave("curves", seed=5) / "metrics.csv").write_text("step,val/loss\n1,much\n", encoding="utf-8")
    with FileLock(held / ".lock"):
        lines = report().split("Not in the table:")[1].splitlines()[4:]
    listed = {line.split(" | ")[1].rpartition("/")[2]: line.strip("| ").split(" | ") for line in lines}
    assert {name: (cells[0], cells[2:]) for name, cells in listed.items()} == {
        "failed": ("failed", [r"loss is nan \| at step 3"]),
        "stopped": ("interrupted", ["SIGINT at step 4"]),
        "killed": ("killed", []),
        "held": ("running", []),
        "early": ("failed", ["no memory"]),
        "old": ("unfinished", ["not_finite"]),
        "cut": ("unreadable", ["summary.json is damaged: Unterminated string starting at: line 1 column 11 (char 10)"]),
        "odd": ("unreadable", ["summary.json is damaged: data: missing"]),
        "curves": ("unreadable", ["metrics.csv is damaged: could not convert string to float: 'much'"]),
    }


def test_the_same_run_made_twice_counts_once(leave, report):
    leave("1", metrics=accuracy(0.1))
    leave("2", metrics=accuracy(0.9))
    printed = report()
    assert "| lstm | 1 | 9 | 1.0 min | **2.000** | **0.900** |" in printed
    assert "| repeated | " in printed.splitlines()[-1]
    assert "runs/2 has the same configuration and seed" in printed.splitlines()[-1]


def test_csv_reads_back(leave, report):
    leave("1", "a,b", seed=1, metrics=accuracy(1 / 3), config={"optimizer": {"lr": 1}})
    leave("2", "a,b", seed=2, metrics=accuracy(2 / 3), config={"optimizer": {"lr": 1}})
    leave("3", "a,b", seed=1, metrics=accuracy(0.0), config={"optimizer": {"lr": 2}})
    leave("4", status="failed", reason='said "no"\nand stopped', metrics={})
    rows = list(csv.DictReader(io.StringIO(report("--format", "csv"))))
    wanted = ("kind", "model", "setting", "n", "seeds", "best")
    assert [tuple(row[key] for key in wanted) for row in rows if row["metric"] == "test/accuracy"] == [
        ("model", "a,b", "optimizer.lr=1", "2", "1 2", "yes"),
        ("model", "a,b", "optimizer.lr=2", "1", "1", ""),
        ("baseline", "chance", "", "1", "", ""),
    ]
    assert float(rows[1]["mean"]) == 0.5
    assert float(rows[1]["std"]) == pytest.approx(0.2357, abs=1e-4)
    assert (rows[-1]["kind"], rows[-1]["status"], rows[-1]["reason"]) == ("apart", "failed", 'said "no"\nand stopped')


def test_latex_is_escaped(leave, report):
    leave("1", "a_b&c", metrics=accuracy(0.5), columns={"% right ^2": "test/accuracy"})
    leave("2", "a_b&c", seed=2, metrics=accuracy(0.5), columns={"% right ^2": "test/accuracy"})
    leave("3", status="failed", reason=r"\tmp is {full} ~ #1 $", metrics={})
    printed = report("--format", "latex")
    assert r"data & model & n & steps & time & val loss & \% right \textasciicircum{}2 \\" in printed
    assert r"L1 & a\_b\&c & 2 & 9 & 1.0 min & \textbf{2.000 $\pm$ 0.000} & \textbf{0.500 $\pm$ 0.000} \\" in printed
    assert r"\textbackslash{}tmp is \{full\} \textasciitilde{} \#1 \$" in printed
    assert printed.count(r"\begin{tabular}") == printed.count(r"\end{tabular}") == 2


def test_terminal_shows_every_number(leave, report, tmp_path):
    leave("1", "lstm [bold]", metrics=accuracy(0.5))
    leave("2", status="failed", reason="no [memory]", metrics={})
    printed = report("--format", "terminal")
    assert ["L1", "lstm", "[bold]", "1", "9", "1.0", "min", "2.000", "0.500"] in [
        line.split() for line in printed.splitlines()
    ]
    assert "no [memory]" in printed
    report("--out", str(tmp_path / "table.txt"))
    assert "lstm [bold]" in (tmp_path / "table.txt").read_text(encoding="utf-8")


def test_a_folder_gets_the_table_and_the_plots(leave, report, tmp_path):
    leave("1")
    leave("2", config={"optimizer": {"lr": 0.2}})
    printed = report()
    report("--out", str(tmp_path / "out"))
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8") == printed
    report("--format", "csv", "--out", str(tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"table.md", "table.csv"} <= names
    assert len([name for name in names if name.endswith("_seed1_forecast.png")]) == 2  # neither overwrites the other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "error: nowhere: no such folder; give run directories, folders of them, or files of runs"),
        (["empty"], "error: no run below empty: a run directory has .hydra, status.json or summary.json"),
        (["empty", "--format", "htm"], "error: --format htm: no such format; did you mean html? "
         "(allowed: csv, html, latex, markdown, terminal)"),
        (["empty", "--out", "a.pdf"],
         "error: --out a.pdf: the name of a file ends in one of .txt, .md, .csv, .tex, .html"),
        (["empty", "--format", "csv", "--out", "a.md"], "error: --out a.md: a file in --format csv ends in .csv"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, options, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(options) == 2
    assert capsys.readouterr().err == message + "\n"


def test_a_page_that_cannot_be_written_is_one_line(leave, tmp_path, capsys):
    leave("1")
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "file" / "a.csv")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'file'}")
