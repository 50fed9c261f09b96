"""Compiles, loads and calls scan.cpp, the selective scan for CPUs in float32 and bfloat16.

It is compiled once per version of the source, version of torch and type of processor, into $SEQLAB_CACHE, or into
seqlab in the user's cache folder ($XDG_CACHE_HOME or ~/.cache).
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
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

# B batch, T time, D channels, N states per channel, G blocks of channels

SOURCE = Path(__file__).with_name("scan.cpp")
# no -march=native: machines may share a cache folder in a home directory
PROCESSOR_FLAGS = {
    "AVX2": ["-mavx2", "-mfma"],
    "AVX512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
}
FEW_STATES = 2**15  # below this number, a second thread costs more than it gains


class UnavailableError(RuntimeError):
    """The native scan is not available; the message says why."""


class NativeScan:
    """The compiled library as a `Kernel` (seqlab/nn/scan.py)."""

    def __init__(self, path: Path):
        library = ctypes.CDLL(str(path))
        sizes, pointers = [ctypes.c_int, *[ctypes.c_int64] * 4], ctypes.c_void_p
        self._forward, self._backward = library.scan_forward, library.scan_backward
        self._forward.argtypes = [*sizes, *[pointers] * 8, ctypes.c_int]
        self._backward.argtypes = [*sizes, *[pointers] * 14, ctypes.c_int]
        self._forward.restype = self._backward.restype = None
        library.scan_block.restype = ctypes.c_int64
        self.channels_per_block = library.scan_block()

    def forward(
        self, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BDN: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns outputs (B, T, D) and the last state (B, D, N). All arguments are contiguous, float32 or bfloat16."""
        y_BTD, last_BDN = torch.empty_like(x_BTD), torch.empty_like(h_BDN)
        _call(self._forward, x_BTD, a_DN, [x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN, y_BTD, last_BDN])
        return y_BTD, last_BDN

    def backward(
        self, dy_BTD: Tensor, dh_BDN: Tensor, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor,
        c_BTN: Tensor, h_BDN: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """The gradients of forward's six arguments, given those of its outputs and of its last state."""
        inputs = [x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN]
        num_blocks = -(-x_BTD.shape[2] // self.channels_per_block)
        dx_BTD, ddelta_BTD, dh_first_BDN = (torch.empty_like(tensor) for tensor in (x_BTD, delta_BTD, h_BDN))
        da_BDN = torch.empty_like(h_BDN)
        db_GBTN, dc_GBTN = a_DN.new_empty(2, num_blocks, *b_BTN.shape)
        outputs = [dx_BTD, ddelta_BTD, da_BDN, db_GBTN, dc_GBTN, dh_first_BDN]
        _call(self._backward, x_BTD, a_DN, [dy_BTD, dh_BDN, *inputs, *outputs])
        db_BTN, dc_BTN = db_GBTN.sum(0).to(b_BTN.dtype), dc_GBTN.sum(0).to(c_BTN.dtype)
        return dx_BTD, ddelta_BTD, da_BDN.sum(0), db_BTN, dc_BTN, dh_first_BDN


def _call(function: Callable[..., None], x_BTD: Tensor, a_DN: Tensor, tensors: list[Tensor]) -> None:
    batch, time, channels = x_BTD.shape
    assert all(tensor.is_contiguous() and tensor.is_cpu for tensor in tensors)
    assert all(tensor.dtype in (torch.float32, x_BTD.dtype) for tensor in tensors)
    num_threads = 1 if x_BTD.numel() * a_DN.shape[1] < FEW_STATES else torch.get_num_threads()
    pointers = [tensor.data_ptr() for tensor in tensors]
    function(x_BTD.dtype == torch.bfloat16, batch, time, channels, a_DN.shape[1], *pointers, num_threads)


def load() -> NativeScan:
    """Load the native scan, and compile it first if necessary.

    Raises:
        UnavailableError: there is no compiler or no ninja, or compiling or loading fails.
    """
    result = _load()
    if isinstance(result, str):
        raise UnavailableError(result)
    return result


@functools.cache
def _load() -> NativeScan | str:
    """The native scan, or the reason why it is not available; failures are cached too."""
    try:
        path = library_path()
        if not path.exists():
            compile_to(path)
        return NativeScan(path)
    # compilers, file systems and loaders fail in many ways, and plain torch is an equivalent fallback
    except (UnavailableError, ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def library_path() -> Path:
    """The path of the compiled library. Its name is a hash of everything that it depends on."""
    processor = [platform.system(), platform.machine(), torch.backends.cpu.get_cpu_capability()]
    parts = [SOURCE.read_bytes(), torch.__version__.encode(), *(word.encode() for word in processor + _flags())]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    folder = os.environ.get("SEQLAB_CACHE")
    if not folder:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqlab"
    return Path(folder) / f"scan-{key}.so"


def _flags() -> list[str]:
    """Compiler flags: strict arithmetic, including NaN, but no errno and no traps, so that loops vectorise."""
    openmp = [] if sys.platform == "darwin" else ["-fopenmp"]  # Apple's compiler lacks OpenMP: one thread
    processor = PROCESSOR_FLAGS.get(torch.backends.cpu.get_cpu_capability(), [])
    return ["-O3", "-fno-math-errno", "-fno-trapping-math", *openmp, *processor]


def compile_to(path: Path) -> None:
    """Compile scan.cpp to a library. Safe for concurrent processes: each uses its own folder, and the last file wins.

    Raises:
        UnavailableError: there is no compiler or no ninja, or the platform is not supported.
        Exception: whatever the compiler, the file system or torch.utils.cpp_extension raise.
    """
    if sys.platform not in ("linux", "darwin"):
        raise UnavailableError(f"it is not built on {sys.platform}")
    compiler = (os.environ.get("CXX") or "c++").split()[0]
    if shutil.which(compiler) is None:
        raise UnavailableError(f"no C++ compiler ({compiler}) on PATH")
    with _ninja_on_path():
        if shutil.which("ninja") is None:
            raise UnavailableError("no ninja on PATH (pip install ninja)")
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"compiling the native selective scan, once, into {path.parent} ...", file=sys.stderr, flush=True)
        from torch.utils import cpp_extension  # slow, and needs setuptools

        with tempfile.TemporaryDirectory(prefix="build-", dir=path.parent) as folder:
            cpp_extension.load(
                "seqlab_scan",
                [str(SOURCE)],
                extra_cflags=_flags(),
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
