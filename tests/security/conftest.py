"""A finished run to be spoilt, and what would show that something hostile was run."""

import shutil

import pytest


@pytest.fixture
def run_dir(finished_run, tmp_path):
    """A copy of a finished run, to be spoilt."""
    return shutil.copytree(finished_run[0], tmp_path / "run")


@pytest.fixture
def mark(tmp_path):
    """A file that hostile content would make."""
    return tmp_path / "mark"


@pytest.fixture
def stranger_module(tmp_path, mark, monkeypatch):
    """The name of a module on the path that makes the mark when it is imported."""
    (tmp_path / "stranger.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "stranger"
