"""Compiling the native kernels: once, safely from several processes, and what happens where it cannot be."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from seqlab.nn.native import build

CODE = """
import logging, torch
logging.basicConfig(level=logging.INFO)
from seqlab.nn.scan import chosen_backend, selective_scan
one = torch.ones(1, 2, 3)
y, _ = selective_scan(one, one, -torch.ones(3, 4), torch.ones(1, 2, 4), torch.ones(1, 2, 4), torch.zeros(1, 3, 4))
assert abs(y[0, 1, 0].item() - 4 * (1 + 2.718281828 ** -1)) < 1e-5
print(chosen_backend("auto", "cpu"))
"""


def start(environment, **changes):
    command = [sys.executable, "-c", CODE]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment | changes, stdout=pipe, stderr=pipe, text=True, encoding="utf-8")


def has_native():
    try:
        build.load()
    except build.UnavailableError:
        return False
    return True


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_compiles_where_there_is_a_compiler():
    """Else every test of a kernel would be skipped, and plain torch would hide that they do not build."""
    build.load()


@pytest.mark.slow
def test_two_processes_compile_at_once_and_a_third_finds_the_result(environment, tmp_path):
    if not has_native():
        pytest.skip("no native kernels here")
    first = [start(environment, SEQLAB_CACHE=str(tmp_path / "cache")) for _ in range(2)]
    told = 0
    for process in first:
        out, err = process.communicate(timeout=300)
        assert out == "native\n", err
        told += err.count("compiling the native kernels, once, into")
        assert "selective scan on cpu: backend=auto takes native" in err
    assert told == 1, "one compiles, the other waits for it"
    (library,) = (tmp_path / "cache").glob("*.so")
    made = library.stat().st_mtime_ns
    out, err = start(environment, SEQLAB_CACHE=str(tmp_path / "cache")).communicate(timeout=300)
    assert out == "native\n" and "compiling" not in err
    assert library.stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PATH": ""}, "no C++ compiler (c++) on PATH"),
        ({"PATH": "", "CXX": "no-such-compiler"}, "no C++ compiler (no-such-compiler) on PATH"),
        ({"CXX": "false"}, ""),  # a compiler that fails
        ({"SEQLAB_CACHE": "/dev/null/folder"}, "Not a directory"),
    ],
)
def test_works_without_a_compiler_and_says_so(environment, tmp_path, changes, reason):
    changes = {"SEQLAB_CACHE": str(tmp_path), **changes}
    process = start(environment, **changes)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out == "torch\n"
    assert "selective scan on cpu: backend=auto takes torch; native is not available: " in err and reason in err
    assert "Traceback" not in err
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


MODELS = """
import logging, torch
logging.basicConfig(level=logging.INFO, format="%(message)s")
from seqlab.models.deep_lstm import DeepLSTM
from seqlab.models.lstm import LSTM
from seqlab.models.mamba import Mamba
from seqlab.spec import Classes, Spec, Tokens
spec = Spec(Tokens(7), Classes(7), max_length=9, sos=0, eos=1, pad=2)
tokens, lengths = torch.randint(7, (3, 9)), torch.tensor([2, 9, 5])
for kind, options in ((LSTM, {"dropout": 0.0}), (DeepLSTM, {"dropout": 0.0}), (Mamba, {})):
    models = [kind(spec, num_layers=2, **options, backend=backend) for backend in ("torch", "auto", "auto")]
    models[1].load_state_dict(models[0].state_dict())
    print(torch.equal(*(model.packed(tokens, lengths) for model in models[:2])))
    models[2](tokens)
"""


def test_models_are_torchs_without_a_compiler_and_say_so_once(environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MODELS], env=environment | {"SEQLAB_CACHE": str(tmp_path), "PATH": ""}, encoding="utf-8",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "True\n" * 3, done.stderr
    for name in ("lstm", "deep_lstm", "selective scan"):
        line = f"{name} on cpu: backend=auto takes torch; native is not available: no C++ compiler (c++) on PATH"
        assert done.stderr.splitlines().count(line) == 1


def test_a_library_that_cannot_be_loaded_gives_its_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    build.library_path().write_bytes(b"no library")
    build._load.cache_clear()
    try:
        with pytest.raises(build.UnavailableError, match=r"kernels-.*\.so"):
            build.load()
    finally:
        build._load.cache_clear()


def test_the_library_is_named_by_all_that_it_depends_on(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    paths = []
    for capability in ("DEFAULT", "AVX2", "AVX512", "of another processor"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda name=capability: name)
        paths.append(build.library_path())
    assert {path.parent for path in paths} == {tmp_path}
    monkeypatch.setattr(torch, "__version__", "0.0")
    paths.append(build.library_path())
    for text in ("int one;", "int other;"):
        (tmp_path / "source.cpp").write_text(text, encoding="utf-8")
        monkeypatch.setattr(build, "FOLDER", tmp_path)
        paths.append(build.library_path())
    assert len(set(paths)) == 7


def test_the_cache_folder(monkeypatch):
    monkeypatch.delenv("SEQLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(build.library_path().parent) == os.path.join("/somewhere", "seqlab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert str(build.library_path().parent) == os.path.join("/home/user", ".cache", "seqlab")
