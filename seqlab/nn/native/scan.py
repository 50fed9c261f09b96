"""The selective scan of scan.cpp on tensors, in float32 and bfloat16."""

import ctypes
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from seqlab.nn.native import build

# B batch, T time, D channels, N states per channel, G blocks of channels

FEW_STATES = 2**15  # below this number, a second thread costs more than it gains


class NativeScan:
    """The functions of the compiled library as a `Kernel` (seqlab/nn/scan.py)."""

    def __init__(self, library: ctypes.CDLL):
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


@functools.cache
def load() -> NativeScan:
    """Load the native scan.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    return NativeScan(build.load())
