"""Logs of a resumed run go on in the files that are there: what lies behind the checkpoint is cut."""

import csv

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqlab.errors import InputError
from seqlab.lit.loggers import MetricsFile, TensorBoard


def written(folder, steps, *, first_step=0, extra_at=()):
    """A metrics.csv, or more of one: a loss at each step, val/loss besides at some."""
    logger = MetricsFile(save_dir=folder, first_step=first_step)
    for step in steps:
        logger.log_metrics({"train/loss": 1 / (step + 1), "epoch": 0}, step=step)
        if step in extra_at:
            logger.log_metrics({"val/loss": 0.5 / (step + 1)}, step=step)
            logger.save()
    logger.save()
    return (folder / "metrics.csv").read_bytes()


@pytest.mark.parametrize("cut_at", [1, 4, 5, 9])
def test_the_file_is_as_if_written_in_one_go(tmp_path, cut_at):
    whole = written(tmp_path / "whole", range(10), extra_at=[4, 8])
    written(tmp_path / "cut", range(9), extra_at=[4, 8])
    assert written(tmp_path / "cut", range(cut_at, 10), first_step=cut_at - 1, extra_at=[4, 8]) == whole
    assert b"epoch" not in whole
    assert whole.splitlines()[0] == b"step,train/loss,val/loss"


def test_a_row_that_a_kill_cut_short_is_dropped(tmp_path):
    whole = written(tmp_path, range(12))
    file = tmp_path / "metrics.csv"
    file.write_bytes(whole[: whole.index(b"11,") + 1])  # "1": as if a second row of step 1
    assert written(tmp_path, range(8, 12), first_step=7) == whole


def test_other_line_ends_lose_no_row(tmp_path):
    """Of an editor, or of git."""
    whole = written(tmp_path, range(12))
    (tmp_path / "metrics.csv").write_bytes(whole.replace(b"\r\n", b"\n"))
    assert written(tmp_path, range(8, 12), first_step=7) == whole


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train/loss,val/loss\n1,2\n", "no column step"),
        ("step,train/loss\n1,2\n2,much\n", "'much'"),
        ("step,train/loss\nx,2\n", "'x'"),
        ("step,train/loss\n1,2,3\n", "['3']"),
        ("train/loss,step\n1\n", "''"),
    ],
)
def test_a_file_that_is_not_ours_is_named_and_kept(tmp_path, text, reason):
    file = tmp_path / "metrics.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        MetricsFile(save_dir=tmp_path, first_step=5)
    assert str(caught.value).startswith(f"{file}: ") and reason in str(caught.value)
    assert file.read_text(encoding="utf-8") == text


def test_columns_that_are_cut_away_come_back(tmp_path):
    written(tmp_path, range(6), extra_at=[4])
    MetricsFile(save_dir=tmp_path, first_step=2).save()
    with open(tmp_path / "metrics.csv", newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["step", "train/loss"]
    assert b"val/loss" in written(tmp_path, range(3, 6), first_step=2, extra_at=[4])


def test_a_new_run_begins_a_new_file(tmp_path):
    written(tmp_path, range(1, 6))
    assert written(tmp_path, range(1, 3)).count(b"\n") == 3


@pytest.mark.parametrize("cut_at", [0, 4])  # 0: killed before its first checkpoint
def test_tensorboard_forgets_what_was_cut(tmp_path, cut_at):
    for first_step, value in ((0, 1.0), (cut_at, 2.0)):
        logger = TensorBoard(save_dir=tmp_path, first_step=first_step)
        for step in range(first_step + 1, 8):
            logger.log_metrics({"loss": value}, step=step)
        logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "tensorboard" / "run"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        *((step, 1.0) for step in range(1, cut_at + 1)),
        *((step, 2.0) for step in range(cut_at + 1, 8)),
    ]


def test_tensorboard_has_what_was_chosen_under_the_name_of_the_run(tmp_path):
    logger = TensorBoard(save_dir=tmp_path, run_name="lstm_../L5 seed1")
    logger.choose(["val/a"])
    logger.log_metrics({"train/loss": 1.0, "val/a": 2.0, "val/b": 3.0}, step=1)
    logger.finalize("success")
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert folder.name == "lstm____L5_seed1"
    events = EventAccumulator(str(folder))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "val/a"}


def test_runs_of_long_names_have_folders_of_their_own(tmp_path):
    """A sweep over many keys names its runs by all of them."""
    for end in ("1", "2"):
        logger = TensorBoard(save_dir=tmp_path, run_name=400 * "é" + end)
        logger.log_metrics({"train/loss": 1.0}, step=1)
        logger.finalize("success")
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
