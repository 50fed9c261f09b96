"""Baselines kept between runs: equal to computed ones, and computed again where what they depend on differs."""

from collections import Counter

import pytest

import seqlab
from seqlab.attempts import Attempts
from seqlab.proportion import Proportion
from seqlab.run.baselines import baselines, kept_in

ROWS = {"chance": {"test/a": 0.5, "test/b": Proportion(3, 8)}, "solver": {"test/b": Proportion(4, 8, 2.5)}}
CONFIG = {"data": {"_target_": "sequences.datamodule.RecurrenceDataModule", "seed": 1}, "task": {}, "model": {"d": 8}}


class Counting:
    """A task that counts how often its baselines are asked for; one of them fails, if so told."""

    def __init__(self, fails=False):
        self.asked, self.fails = Counter(), fails

    def baselines(self):
        self.asked["times"] += 1
        rows = Attempts()
        rows.update(ROWS)
        if self.fails:
            with rows.attempt("broken"):
                raise ValueError("no")
        return rows


@pytest.fixture
def task():
    return Counting()


def test_what_is_kept_equals_what_was_computed(task, tmp_path):
    with kept_in(tmp_path / "kept"):
        found = [baselines(task, CONFIG) for _ in range(2)]
    assert task.asked["times"] == 1
    assert dict(found[0]) == dict(found[1]) == ROWS
    assert isinstance(found[1]["solver"]["test/b"], Proportion) and list(found[1]) == list(ROWS)


def test_outside_of_the_block_nothing_is_kept(task, tmp_path):
    with kept_in(tmp_path / "kept"):
        baselines(task, CONFIG)
    baselines(task, CONFIG)
    assert task.asked["times"] == 2


@pytest.mark.parametrize(
    ("key", "value", "times"),
    [("data", CONFIG["data"] | {"seed": 2}, 2), ("task", {"beta": 1}, 2), ("model", {"d": 16}, 1)],
)
def test_they_depend_on_data_and_task_alone(task, tmp_path, key, value, times):
    with kept_in(tmp_path):
        baselines(task, CONFIG)
        baselines(task, CONFIG | {key: value})
    assert task.asked["times"] == times


def test_a_change_of_the_sources_computes_them_again(tmp_path, monkeypatch):
    package = tmp_path / "packages" / "growing_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(package.parent)
    task, config = Counting(), {**CONFIG, "data": {"_target_": "growing_package.Data"}}
    with kept_in(tmp_path / "kept"):
        baselines(task, config)
        (package / "new.py").write_text("x = 1\n", encoding="utf-8")
        baselines(task, config)
    assert task.asked["times"] == 2


def test_a_change_of_a_single_module_computes_them_again(tmp_path, monkeypatch):
    module = tmp_path / "packages" / "lone_module.py"
    module.parent.mkdir()
    module.write_text("x = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(module.parent)
    task, config = Counting(), {**CONFIG, "data": {"_target_": "lone_module.Data"}}
    with kept_in(tmp_path / "kept"):
        for text in ("x = 1\n", "x = 1\n", "x = 2\n"):
            module.write_text(text, encoding="utf-8")
            baselines(task, config)
    assert task.asked["times"] == 2


def test_a_change_of_the_engine_computes_them_again(task, tmp_path, monkeypatch):
    (tmp_path / "later.py").write_text("x = 1\n", encoding="utf-8")
    with kept_in(tmp_path / "kept"):
        baselines(task, CONFIG)
        monkeypatch.setattr(seqlab, "__path__", [*seqlab.__path__, str(tmp_path)])
        baselines(task, CONFIG)
    assert task.asked["times"] == 2


@pytest.mark.parametrize("name", ["file.txt", ""])
def test_those_of_a_users_file_are_not_kept(task, tmp_path, name):
    (tmp_path / "file.txt").write_text("a", encoding="utf-8")
    config = {**CONFIG, "data": {**CONFIG["data"], "files": [str(tmp_path / name)]}}
    with kept_in(tmp_path / "kept"):
        baselines(task, config)
        baselines(task, config)
    assert task.asked["times"] == 2 and not (tmp_path / "kept").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"chance": 3}', '{"chance": {"test/a": [1]}}'])
def test_a_damaged_file_is_computed_again(task, tmp_path, text):
    with kept_in(tmp_path):
        baselines(task, CONFIG)
        (file,) = tmp_path.glob("*.json")
        file.write_text(text, encoding="utf-8")
        assert dict(baselines(task, CONFIG)) == ROWS
    assert task.asked["times"] == 2


def test_those_with_a_failure_are_not_kept(tmp_path):
    task = Counting(fails=True)
    with kept_in(tmp_path):
        assert set(baselines(task, CONFIG).errors) == {"broken"}
        assert set(baselines(task, CONFIG).errors) == {"broken"}
    assert task.asked["times"] == 2


def test_a_folder_that_cannot_be_written_does_not_matter(task, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with kept_in(tmp_path / "file"):
        assert dict(baselines(task, CONFIG)) == ROWS
