"""Each benchmark runs to its end and prints ratios. How large they are is for who reads them on a quiet machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AGAINST_AN_OLDER_VERSION = ("versions", "time_to_grammatical")
SCRIPTS = sorted((ROOT / "benchmarks").glob("[!_]*.py"))
SCRIPTS = [script for script in SCRIPTS if script.stem not in AGAINST_AN_OLDER_VERSION]


def ran(script, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "160"}
    words = [sys.executable, str(script)]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=False, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", AGAINST_AN_OLDER_VERSION)
def test_says_that_it_needs_an_older_version(name, tmp_path):
    done = ran(ROOT / "benchmarks" / f"{name}.py", tmp_path)
    assert done.returncode == 0 and "older version" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_ends_with_ratios(script, tmp_path):
    done = ran(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search("ratio|times the naive cell", done.stdout), done.stdout
    assert re.search(r"^[│|] .*\d", done.stdout, re.MULTILINE), done.stdout
