"""The selective scan of scan.cpp on tensors, in float32 and bfloat16: of packed rows and of equal ones."""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlab.nn.native.calls import FLAG, LONG, POINTER, threads, typed

# B batch, T time, N steps of all rows, D channels, S states per channel (N in seqlab/nn/scan.py), G blocks of channels


class Library(NamedTuple):
    """The functions of the compiled library that this module calls."""

    scan_forward: Callable[..., None]
    scan_backward: Callable[..., None]
    channels_per_block: int
    rows_per_task: int


@functools.cache
def library() -> Library:
    """The functions with their types.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    functions = typed({"scan_forward": [FLAG, *[POINTER] * 6, FLAG], "scan_backward": [FLAG, *[POINTER] * 7, FLAG]})
    channels_per_block, rows_per_task = typed({"scan_block": [], "scan_rows": []}, LONG)
    return Library(*functions, channels_per_block=channels_per_block(), rows_per_task=rows_per_task())


class Inputs(NamedTuple):
    """What a scan of packed rows reads. All x, b, c and gate have one type, float32 or bfloat16.

    step = softplus(delta + bias), and outputs are (C . h + skip x) silu(gate).
    """

    x_ND: Tensor
    delta_ND: Tensor  # of the type of x; the steps themselves in float32 if there is no bias
    bias_D: Tensor | None  # float32, like all below but gate
    a_DS: Tensor
    b_NS: Tensor  # rows may be apart, by as much as those of c
    c_NS: Tensor
    skip_D: Tensor | None
    gate_ND: Tensor | None  # rows may be apart
    h_BDS: Tensor | None  # None: zeros

    def sizes(self, starts: Tensor, signed: bool) -> Any:
        """The sizes, and whether decays are signed, as the kernels take them."""
        gate_stride = 0 if self.gate_ND is None else self.gate_ND.stride(0)
        assert self.b_NS.stride() == self.c_NS.stride() and self.b_NS.stride(1) == 1
        numbers = (len(starts) - 1, len(self.x_ND), *self.a_DS.shape, self.b_NS.stride(0), gate_stride, signed)
        return (ctypes.c_int64 * 7)(*numbers)

    def places(self) -> Any:
        """The addresses as the kernels take them."""
        rows_apart = (self.b_NS, self.c_NS, self.gate_ND)
        assert all(t is None or (t.is_cpu and (t.is_contiguous() or any(t is r for r in rows_apart))) for t in self)
        return _addresses(self)

    def threads(self) -> int:
        """The number of threads that are worth it."""
        return threads(self.x_ND.numel() * self.a_DS.shape[1])

    @property
    def low(self) -> bool:
        """Whether x is in bfloat16."""
        return self.x_ND.dtype == torch.bfloat16


class Gradients(NamedTuple):
    """The gradients of `Inputs`, but for that of the gate, which `backward` writes where it is told to."""

    x_ND: Tensor
    delta_ND: Tensor
    a_DS: Tensor
    b_NS: Tensor  # float32, like c
    c_NS: Tensor
    skip_D: Tensor
    bias_D: Tensor
    h_BDS: Tensor | None


def forward(
    inputs: Inputs, starts: Tensor, *, signed: bool = False, inner: Tensor | None = None, last: Tensor | None = None
) -> Tensor:
    """Outputs (N, D) of rows of the steps starts[r] .. starts[r + 1] - 1.

    Args:
        inputs: what it reads.
        starts: (B + 1,) int64.
        signed: whether decays are 2 exp(step A) - 1 rather than exp(step A).
        inner: (N, D), to be filled with the outputs before their gate, which `backward` needs.
        last: (B, D, S) float32, to be filled with the last states.
    """
    out = torch.empty_like(inputs.x_ND)
    library().scan_forward(
        inputs.low, inputs.sizes(starts, signed), starts.data_ptr(), inputs.places(), *_addresses((out, inner, last)),
        inputs.threads(),
    )  # fmt: skip
    return out


def backward(
    inputs: Inputs, starts: Tensor, dout: Tensor, *, signed: bool = False, inner: Tensor | None = None,
    dlast: Tensor | None = None, dgate: Tensor | None = None,
) -> Gradients:  # fmt: skip
    """The gradients, given those of the outputs and of the last states (None: zeros).

    Args:
        inputs, starts, signed, inner: as in `forward`.
        dout: (N, D).
        dlast: (B, D, S).
        dgate: (N, D) to be filled with the gradient of the gate, with rows as far apart as those of the gate.
    """
    (num_steps, channels), num_states = inputs.x_ND.shape, inputs.a_DS.shape[1]
    num_blocks = -(-channels // library().channels_per_block)
    num_tasks = -(-(len(starts) - 1) // library().rows_per_task)
    dx, ddelta = torch.empty_like(inputs.x_ND), torch.empty_like(inputs.delta_ND)
    da = inputs.a_DS.new_empty(num_tasks, channels, num_states)
    db, dc = inputs.a_DS.new_empty(2, num_blocks, num_steps, num_states)
    vector = inputs.a_DS.new_empty(num_tasks, 2, channels)
    dh = None if inputs.h_BDS is None else torch.empty_like(inputs.h_BDS)
    library().scan_backward(
        inputs.low, inputs.sizes(starts, signed), starts.data_ptr(), inputs.places(), *_addresses((dout, inner, dlast)),
        _addresses((dx, ddelta, da, db, dc, dgate, vector, dh)), inputs.threads(),
    )  # fmt: skip
    dskip, dbias = vector.sum(0).unbind()
    return Gradients(dx, ddelta, da.sum(0), db.sum(0), dc.sum(0), dskip, dbias, dh)


def _addresses(tensors: Any) -> Any:
    return (ctypes.c_void_p * len(tensors))(*[None if tensor is None else tensor.data_ptr() for tensor in tensors])


class NativeScan:
    """The scan of a batch of equal lengths as a `Kernel` (seqlab/nn/scan.py).

    Args:
        signed: as in `forward`.
    """

    def __init__(self, signed: bool):
        self.signed = signed

    def forward(
        self, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BDN: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns outputs (B, T, D) and the last state (B, D, N). All arguments are contiguous, float32 or bfloat16."""
        last_BDN = torch.empty_like(h_BDN)
        inputs = _flat(x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN)
        out = forward(inputs, _equal_starts(x_BTD), signed=self.signed, last=last_BDN)
        return out.view_as(x_BTD), last_BDN

    def backward(
        self, dy_BTD: Tensor, dh_BDN: Tensor, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor,
        c_BTN: Tensor, h_BDN: Tensor,
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        """The gradients of forward's six arguments, given those of its outputs and of its last state."""
        inputs = _flat(x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN)
        to = backward(inputs, _equal_starts(x_BTD), dy_BTD, signed=self.signed, dlast=dh_BDN)
        db, dc = to.b_NS.to(b_BTN.dtype).view_as(b_BTN), to.c_NS.to(c_BTN.dtype).view_as(c_BTN)
        return to.x_ND.view_as(x_BTD), to.delta_ND.view_as(x_BTD), to.a_DS, db, dc, to.h_BDS


def _flat(x_BTD: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor) -> Inputs:
    flat = (tensor.flatten(0, 1) for tensor in (x_BTD, delta, b, c))
    x_ND, delta_ND, b_NS, c_NS = flat
    return Inputs(x_ND, delta_ND, None, a, b_NS, c_NS, None, None, h)


def _equal_starts(x_BTD: Tensor) -> Tensor:
    batch, time, _ = x_BTD.shape
    return torch.arange(batch + 1) * time


@functools.cache
def load(signed: bool) -> NativeScan:
    """Load the native scan, with signed decays or not.

    Raises:
        UnavailableError: the kernels are not available (seqlab/nn/native/build.py).
    """
    library()
    return NativeScan(signed)
