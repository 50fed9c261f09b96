"""python -m seqlab.report --effects: the mean difference from a row over runs that share a seed, with its interval."""

import csv
import io

import pytest

from seqlab.report.__main__ import main
from seqlab.report.effects import effect


def leave_runs(leave, name, values, model="lstm", lr=0.1, **more):
    for seed, value in values.items():
        leave(f"{name}/{seed}", model, seed, {"test/accuracy": value}, losses=[value], **more,
              config={"optimizer": {"lr": lr}})  # fmt: skip


def test_effects_have_students_interval():
    mean, _, n, interval = effect([1.0, 2.0, 4.0])
    half = 4.302653 * (7 / 3) ** 0.5 / 3**0.5  # t of 2 degrees, variance 7/3
    assert (mean, n) == (pytest.approx(7 / 3), 3)
    assert interval == pytest.approx((7 / 3 - half, 7 / 3 + half))
    assert effect([2.0]) == (2.0, None, 1, None)
    assert effect([None]) == (None, None, 0, None)


def test_runs_are_paired_by_their_seeds(leave, report):
    leave_runs(leave, "a", {1: 0.1, 2: 0.5, 3: 0.6, 4: 99.0})
    leave_runs(leave, "b", {3: 0.9, 2: 0.7, 1: 0.2}, lr=0.2)
    printed = report("--effects", "lstm optimizer.lr=0.1")
    means, effects = printed.split("\n\n")
    assert means == report().rstrip("\n")
    (line,) = effects.splitlines()[2:]
    # 0.1, 0.2 and 0.3: 0.2 +- 4.302653 * 0.1 / sqrt(3); validation loss and accuracy are the same here
    difference = "0.200 (-0.048 to 0.448)"
    assert line == f"| L1 | lstm optimizer.lr=0.2 - lstm optimizer.lr=0.1 | 3 |  |  | {difference} | {difference} |"


def test_the_effect_of_going_back_is_the_other_way_round(leave, report):
    leave_runs(leave, "a", {1: 0.1, 2: 0.5, 3: 0.6})
    leave_runs(leave, "b", {1: 0.2, 2: 0.7, 3: 0.9}, model="linear")
    there = list(csv.DictReader(io.StringIO(report("--format", "csv", "--effects", "lstm"))))
    back = list(csv.DictReader(io.StringIO(report("--format", "csv", "--effects", "linear"))))
    wanted = [[row for row in rows if (row["kind"], row["column"]) == ("effect", "accuracy")] for rows in (there, back)]
    (one,), (other,) = wanted
    assert (one["n"], one["best"], one["std"]) == ("3", "", "")
    numbers = [float(one[key]) for key in ("mean", "low", "high")]
    assert numbers == pytest.approx([-float(other[key]) for key in ("mean", "high", "low")])


def test_one_seed_has_no_interval_and_none_no_row(leave, report):
    leave_runs(leave, "a", {1: 0.1, 2: 0.5})
    leave_runs(leave, "b", {2: 0.7, 3: 1.0}, model="linear")
    leave_runs(leave, "c", {3: 0.7}, model="mamba")
    assert [line for line in report("--effects", "lstm").splitlines() if " - lstm" in line] == [
        "| L1 | linear - lstm |  |  |  | 0.200 | 0.200 |"
    ]


def test_rows_are_compared_on_the_same_data_alone(leave, report):
    leave_runs(leave, "a", {1: 0.1})
    leave_runs(leave, "b", {1: 0.7}, model="linear", description="longer")
    assert " - lstm" not in report("--effects", "lstm")


@pytest.mark.parametrize("format", ["terminal", "latex", "html"])
def test_effects_stand_in_every_format(leave, report, tmp_path, format):
    leave_runs(leave, "a", {1: 0.1, 2: 0.2})
    leave_runs(leave, "b", {1: 0.2, 2: 0.4}, model="linear")
    assert "linear - lstm" in report("--format", format, "--effects", "lstm")


def test_a_reference_that_is_no_row_is_refused(leave, tmp_path, capsys):
    leave_runs(leave, "a", {1: 0.1})
    assert main([str(tmp_path / "runs"), "--effects", "lstn"]) == 2
    assert (
        capsys.readouterr().err == "error: --effects lstn: no row has this name; did you mean lstm? (allowed: lstm)\n"
    )
