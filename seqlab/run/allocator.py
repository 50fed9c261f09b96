"""The memory allocator of a training process."""

import ctypes
import platform

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's M_TRIM_THRESHOLD and M_MMAP_MAX
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next tensors, instead of handing it back to the system.

    Else a training step spends a tenth of its time or more on pages that it frees and gets again
    (benchmarks/allocator.py). The process holds some 100 MB more. Results do not change. Other C libraries are left
    alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, NEVER)
