"""Compiles the C++ sources of this folder into one library, and loads it.

It is compiled once per version of the sources, version of torch and type of processor, into $SEQLAB_CACHE, or into
seqlab in the user's cache folder ($XDG_CACHE_HOME or ~/.cache). A lock makes other processes wait for the first.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock

from seqlab.places import cache_folder

FOLDER = Path(__file__).parent
# no -march=native: machines may share a cache folder in a home directory
PROCESSOR_FLAGS = {
    "AVX2": ["-mavx2", "-mfma", "-mf16c", "-DCPU_CAPABILITY=AVX2", "-DCPU_CAPABILITY_AVX2"],
    "AVX512": [
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c"),
        *("-DCPU_CAPABILITY=AVX512", "-DCPU_CAPABILITY_AVX512"),
    ],
}
# names of at::vec for processors without these: 128 bits on Arm, loops over arrays elsewhere
PLAIN_FLAGS = ["-DCPU_CAPABILITY=DEFAULT", "-DCPU_CAPABILITY_DEFAULT"]


class UnavailableError(RuntimeError):
    """The native kernels are not available; the message says why."""


def load() -> ctypes.CDLL:
    """Load the library, and compile it first if necessary.

    Raises:
        UnavailableError: there is no compiler or no ninja, or compiling or loading fails.
    """
    result = _load()
    if isinstance(result, str):
        raise UnavailableError(result)
    return result


@functools.cache
def _load() -> ctypes.CDLL | str:
    """The library, or the reason why it is not available; failures are cached too."""
    try:
        path = library_path()
        if not path.exists():
            compile_to(path)
        return ctypes.CDLL(str(path))
    # compilers, file systems and loaders fail in many ways, and plain torch is an equivalent fallback
    except (UnavailableError, ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # a compiler's own words, rather than how it was called
        return next((line for line in lines if " error: " in line), next(iter(lines), type(error).__name__))


def sources() -> list[Path]:
    """The C++ sources and headers, in a fixed order."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in (".cpp", ".h"))


def library_path() -> Path:
    """The path of the compiled library. Its name is a hash of everything that it depends on."""
    processor = [platform.system(), platform.machine(), torch.backends.cpu.get_cpu_capability()]
    parts = [path.name.encode() + b"\0" + path.read_bytes() for path in sources()]
    parts += [torch.__version__.encode(), *(word.encode() for word in processor + _flags())]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return cache_folder() / f"kernels-{key}.so"


def _flags() -> list[str]:
    """Compiler flags: strict arithmetic, including NaN, but no errno and no traps, so that loops vectorise."""
    openmp = [] if sys.platform == "darwin" else ["-fopenmp"]  # Apple's compiler lacks OpenMP: one thread
    processor = PROCESSOR_FLAGS.get(torch.backends.cpu.get_cpu_capability(), PLAIN_FLAGS)
    return ["-O3", "-fno-math-errno", "-fno-trapping-math", *openmp, *processor]


def compile_to(path: Path) -> None:
    """Compile the sources to a library, unless another process does so first.

    Raises:
        UnavailableError: there is no compiler or no ninja, or the platform is not supported.
        Exception: whatever the compiler, the file system or torch.utils.cpp_extension raise.
    """
    if sys.platform not in ("linux", "darwin"):
        raise UnavailableError(f"they are not built on {sys.platform}")
    compiler = (os.environ.get("CXX") or "c++").split()[0]
    if shutil.which(compiler) is None:
        raise UnavailableError(f"no C++ compiler ({compiler}) on PATH")
    with _ninja_on_path():
        if shutil.which("ninja") is None:
            raise UnavailableError("no ninja on PATH (pip install ninja)")
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                print(f"compiling the native kernels, once, into {path.parent} ...", file=sys.stderr, flush=True)
                _compile(path)


def _compile(path: Path) -> None:
    from torch.utils import cpp_extension  # slow, and needs setuptools

    with tempfile.TemporaryDirectory(prefix="build-", dir=path.parent) as folder:
        cpp_extension.load(
            "seqlab_kernels",
            [str(source) for source in sources() if source.suffix == ".cpp"],
            # ATen's headers give GCC reason for many notes
            extra_cflags=[*_flags(), "-Wno-psabi", "-Wno-unknown-pragmas"],
            extra_ldflags=[flag for flag in _flags() if flag == "-fopenmp"],
            build_directory=folder,
            with_cuda=False,
            is_python_module=False,
        )
        (built,) = Path(folder).glob("*.so")
        built.replace(path)


@contextlib.contextmanager
def _ninja_on_path() -> Iterator[None]:
    """Temporarily add this environment's ninja to PATH, where it is missing if the environment is not activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join(filter(None, [before, str(Path(sys.executable).parent)]))
    try:
        yield
    finally:
        os.environ["PATH"] = before
