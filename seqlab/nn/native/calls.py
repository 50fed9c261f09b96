"""What the calls of all kernels share: typed functions, addresses of tensors, and the number of threads."""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.nn.native import build

POINTER, LONG, SEED, THRESHOLD = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint32
NUMBER, FLAG = ctypes.c_float, ctypes.c_int
FEW_ELEMENTS = 2**15  # below this number, a second thread costs more than it gains


def typed(types: Mapping[str, Sequence[Any]], results: Any = None) -> list[Callable[..., Any]]:
    """The functions of the compiled library with their types, in the order of `types`.

    Args:
        types: name -> the types of its arguments.
        results: the type of the result of each; None: no result.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    library = build.load()
    functions = [getattr(library, name) for name in types]
    for function, arguments in zip(functions, types.values(), strict=True):
        function.argtypes, function.restype = list(arguments), results
    return functions


def place(tensor: Tensor | None, dtype: torch.dtype = torch.float32) -> int | None:
    """The address of a contiguous tensor of this type on the CPU; None for None.

    Whoever calls a kernel keeps the tensor in a variable: memory of a temporary is free before the kernel reads it.
    """
    if tensor is None:
        return None
    assert tensor.is_contiguous() and tensor.is_cpu and tensor.dtype == dtype
    return tensor.data_ptr()


def threads(work: float, few: int = FEW_ELEMENTS) -> int:
    """The number of threads that are worth it for an amount of work, in elements unless said otherwise."""
    return 1 if work < few else torch.get_num_threads()
