"""Each benchmark runs to its end and prints ratios. How large they are is for who reads them on a quiet machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("[!_]*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_ends_with_ratios(script, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "160"}
    words = [sys.executable, str(script)]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert re.search("ratio|times the naive cell", done.stdout), done.stdout
    assert re.search(r"^[│|] .*\d", done.stdout, re.MULTILINE), done.stdout
