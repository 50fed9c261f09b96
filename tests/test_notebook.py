"""docs/notebook.ipynb: small, executed from its start, and its cells still print what stands there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "notebook.ipynb"
CELLS = [cell for cell in json.loads(FILE.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def printed(cell):
    """The text that a stored cell has printed."""
    return "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")


def test_the_notebook_is_small_and_executed_in_order():
    assert FILE.stat().st_size < 300_000
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    assert any(printed(cell) for cell in CELLS)
    assert any("image/png" in out.get("data", {}) for cell in CELLS for out in cell["outputs"])
    assert not [out for cell in CELLS for out in cell["outputs"] if out["output_type"] == "error"]
    assert all(word not in FILE.read_text(encoding="utf-8") for word in ("/tmp/", "/root/", "/home/", str(ROOT)))


@pytest.mark.slow
def test_cells_print_what_stands_there(tmp_path):
    sources = ["".join(cell["source"]) for cell in CELLS]
    script = "import matplotlib\nmatplotlib.use('agg')\n" + "\nprint(chr(12), end='')\n".join(sources)
    (tmp_path / "cells.py").write_text(script, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "cells.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    for cell, text in zip(CELLS, done.stdout.split(chr(12)), strict=True):
        assert text == printed(cell)
