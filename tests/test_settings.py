"""The golden, contract and native tests on other processors, so far as one can stand for others, and elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KERNELS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "nn").glob("test_native_*.py"))
NAMES = ["tests/golden", "tests/contract", "tests/nn/test_scan.py", *KERNELS]
TESTS = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", ""]
VECTORS = ["default", "avx2", "avx512"]  # of torch, each a subset of the next
SETTINGS = [
    "ATEN_CPU_CAPABILITY=default",
    "ATEN_CPU_CAPABILITY=avx2",
    "ATEN_CPU_CAPABILITY=avx512",
    "ONEDNN_MAX_CPU_ISA=AVX2",
    "MKL_CBWR=COMPATIBLE",
    "OMP_NUM_THREADS=1",
    "OMP_NUM_THREADS=2",
    "TZ=Pacific/Kiritimati LC_ALL=C",
    "TZ=America/St_Johns LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0",  # ASCII alone
    "TERM=dumb COLUMNS=40 FORCE_COLOR=1",
]


def has_vectors(name):
    """Whether the processor has them: torch would use them unasked, and asked, it does not look."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability().lower())"
    environment = {key: value for key, value in os.environ.items() if key != "ATEN_CPU_CAPABILITY"}
    best = subprocess.check_output([sys.executable, "-c", code], env=environment, encoding="utf-8").strip()
    return name == "default" or (best in VECTORS and VECTORS.index(name) <= VECTORS.index(best))


def run_tests(folder, environment):
    done = subprocess.run([*TESTS, *NAMES], cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_under(setting, environment):
    changes = dict(word.split("=") for word in setting.split())
    if not has_vectors(changes.get("ATEN_CPU_CAPABILITY", "default")):
        pytest.skip("this processor has no such vector units")
    run_tests(ROOT, environment | changes)


@pytest.mark.slow
def test_at_a_path_with_a_blank(environment, tmp_path):
    copy = tmp_path / "a copy" / "with blanks"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "results", "outputs", "multirun", "build", "site")
    shutil.copytree(ROOT, copy, ignore=left_out)
    places = {"PYTHONPATH": str(copy), "SEQLAB_CACHE": str(tmp_path / "a cache"), "TMPDIR": str(copy)}
    run_tests(copy, environment | places)
