"""The selective scan of Mamba (Gu & Dao 2023, section 3.2) in plain torch, C++, or by mamba_ssm's CUDA kernel.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t        y_t = C_t . h_t

independently for each channel. With eigenvalues=signed, the decay is 2 exp(delta_t A) - 1, in -1 .. 1 (Grazzi et al.
2025, "Unlocking state-tracking in linear RNNs through negative eigenvalues", section 4): a state can change its sign.
tests/reference/scan.py implements both as a loop that autograd differentiates. Parallel scans are left out
deliberately: on a CPU they are slower than the loop, and their full-length logarithmic form is numerically wrong.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqlab.nn.native import choice
from seqlab.nn.native import scan as scan_native

# B batch, T time, D channels, N states per channel, S some rows of the batch

Backend = Literal["auto", "torch", "native", "cuda"]
Eigenvalues = Literal["positive", "signed"]
Function = TypeVar("Function", bound=Callable[..., Any])
INSTALL_CUDA = "pip install --no-build-isolation mamba-ssm"
SLICE_BYTES = 2**21  # of one (T, S, D, N) work array: three of them fit into a processor's cache

logger = logging.getLogger(__name__)


class Kernel(Protocol):
    """The scan and its gradient on contiguous tensors, outside autograd: TorchScan or native.scan.NativeScan."""

    def forward(
        self, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BDN: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns y (B, T, D) in the dtype of x, and the last state."""
        ...

    def backward(
        self, dy_BTD: Tensor, dh_BDN: Tensor, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor,
        c_BTN: Tensor, h_BDN: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Gradients of x, delta, A, B, C and h, each in the dtype of its tensor."""
        ...


def not_compiled(function: Function) -> Function:
    """Exclude a function from torch.compile, which would unroll the loop over time and cannot trace the kernels."""
    return torch.compiler.disable(function)  # type: ignore[return-value]


@not_compiled
def selective_scan(
    x_BTD: Tensor,
    delta_BTD: Tensor,
    a_DN: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    h_BDN: Tensor,
    *,
    eigenvalues: Eigenvalues = "positive",
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Compute the outputs y (B, T, D) and the last state (B, D, N).

    Args:
        x_BTD: inputs, of any floating dtype; B and C are cast to it.
        delta_BTD: step sizes, positive; delta, A and h in float32 (float64 for inputs in float64).
        a_DN: the diagonal of A, negative.
        b_BTN, c_BTN: input and output projections of each step.
        h_BDN: the state before the first step.
        eigenvalues: `positive`: decays exp(delta A); `signed`: 2 exp(delta A) - 1.
        backend: the implementation; see `chosen_backend`. `native` falls back to `torch` for float64 and float16.
            With `cuda` no gradient flows through the states.
    """
    signed = eigenvalues == "signed"
    backend = chosen_backend(backend, x_BTD.device.type, signed)
    b_BTN, c_BTN = b_BTN.to(x_BTD.dtype), c_BTN.to(x_BTD.dtype)
    with torch.autocast(x_BTD.device.type, enabled=False):
        if backend == "cuda":
            return _cuda_scan(x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN)
        use_native = backend == "native" and x_BTD.dtype in (torch.float32, torch.bfloat16)
        kernel = scan_native.load(signed) if use_native else TorchScan(signed)
        arguments = [tensor.contiguous() for tensor in (x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN)]
        return SelectiveScan.apply(*arguments, kernel)  # type: ignore[return-value]


class SelectiveScan(torch.autograd.Function):
    """Saves only its inputs. A kernel's backward recomputes the states (B, T, D, N), a part at a time."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        *tensors, kernel = arguments
        ctx.save_for_backward(*tensors)
        ctx.kernel = kernel
        return kernel.forward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        dy_BTD, dh_BDN = gradients
        with torch.autocast(dy_BTD.device.type, enabled=False):
            return *ctx.kernel.backward(dy_BTD.contiguous(), dh_BDN.contiguous(), *ctx.saved_tensors), None


class TorchScan:
    """The scan in torch on any device: a loop over time for a few rows of the batch at once.

    Each time step is one fused multiply-add on a contiguous (S, D, N) slice.

    Args:
        signed: whether decays are 2 exp(delta A) - 1 rather than exp(delta A).
    """

    def __init__(self, signed: bool = False):
        self.signed = signed

    def forward(
        self, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BDN: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns outputs (B, T, D) and the last state (B, D, N). All arguments are contiguous."""
        y_BTD, last_BDN = torch.empty_like(x_BTD), torch.empty_like(h_BDN)
        for rows, (states, decays) in _slices(x_BTD, a_DN, num_arrays=2):
            x, delta, b, c = _time_first(a_DN.dtype, x_BTD[rows], delta_BTD[rows], b_BTN[rows], c_BTN[rows])
            _fill_states(states, decays, x, delta, a_DN, b, h_BDN[rows], self.signed)
            y_BTD[rows] = _vectors_times(c, states.mT).transpose(0, 1)
            last_BDN[rows] = states[-1]
        return y_BTD, last_BDN

    def backward(
        self, dy_BTD: Tensor, dh_BDN: Tensor, x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor,
        c_BTN: Tensor, h_BDN: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """The gradients of forward's six arguments, given those of its outputs and of its last state."""
        results = [torch.empty_like(tensor) for tensor in (x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN)]
        dx_BTD, ddelta_BTD, da_DN, db_BTN, dc_BTN, dh_first_BDN = results
        da_DN.zero_()
        for rows, (states, decays, dstates) in _slices(x_BTD, a_DN, num_arrays=3):
            x, delta, b, c, dy = _time_first(
                a_DN.dtype, x_BTD[rows], delta_BTD[rows], b_BTN[rows], c_BTN[rows], dy_BTD[rows]
            )
            _fill_states(states, decays, x, delta, a_DN, b, h_BDN[rows], self.signed)
            dc_BTN[rows] = _vectors_times(dy, states).transpose(0, 1)
            torch.mul(dy.unsqueeze(-1), c.unsqueeze(-2), out=dstates)
            dstates[-1] += dh_BDN[rows]
            steps = list(zip(dstates.unbind(), decays.unbind(), strict=True))
            for (before, _), (after, decay) in zip(steps[-2::-1], steps[:0:-1], strict=True):
                before.addcmul_(decay, after)
            db_BTN[rows] = _vectors_times(delta * x, dstates).transpose(0, 1)
            dinput = _vectors_times(b, dstates.mT)
            dx_BTD[rows] = (dinput * delta).transpose(0, 1)
            dh_first_BDN[rows] = dstates[0] * decays[0]
            # from here on, `dstates` becomes the gradient of delta A, and `decays` that of the decay
            dstates.mul_(decays.add_(1) if self.signed else decays)
            dstates[1:] *= states[:-1]
            dstates[0] *= h_BDN[rows]
            ddelta_BTD[rows] = torch.mul(dstates, a_DN, out=states).sum(-1).addcmul_(dinput, x).transpose(0, 1)
            da_DN += dstates.mul_(delta.unsqueeze(-1)).sum((0, 1))  # einsum would copy (T, S, D, N)
        return tuple(results)


def _slices(x_BTD: Tensor, a_DN: Tensor, *, num_arrays: int) -> Iterator[tuple[slice, list[Tensor]]]:
    """Split the batch into slices that fill SLICE_BYTES, each with work arrays (T, S, D, N) in the same reused memory.

    Newly allocated memory costs page faults, which take as long as the arithmetic.
    """
    batch, time, _ = x_BTD.shape
    size_per_row = time * a_DN.numel()
    size = min(batch, max(1, SLICE_BYTES // (size_per_row * a_DN.element_size())))
    arrays = a_DN.new_empty(num_arrays, size * size_per_row).unbind()
    for start in range(0, batch, size):
        rows = slice(start, min(start + size, batch))
        num_rows = rows.stop - start
        yield rows, [array[: num_rows * size_per_row].view(time, num_rows, *a_DN.shape) for array in arrays]


def _time_first(dtype: torch.dtype, *tensors_ST: Tensor) -> list[Tensor]:
    return [tensor.transpose(0, 1).to(dtype).contiguous() for tensor in tensors_ST]


def _vectors_times(vectors: Tensor, matrices: Tensor) -> Tensor:
    """Row vectors (..., I) times matrices (..., I, J). torch's batched product is faster in this order."""
    return torch.matmul(vectors.unsqueeze(-2), matrices).squeeze(-2)


def _fill_states(
    states: Tensor, decays: Tensor, x_TSD: Tensor, delta_TSD: Tensor, a_DN: Tensor, b_TSN: Tensor, h_SDN: Tensor,
    signed: bool,
) -> None:  # fmt: skip
    """Write the state after each step and the decay of each step, both (T, S, D, N)."""
    torch.mul(delta_TSD.unsqueeze(-1), a_DN, out=decays).exp_()
    if signed:
        decays.mul_(2).sub_(1)
    torch.mul((delta_TSD * x_TSD).unsqueeze(-1), b_TSN.unsqueeze(-2), out=states)
    for state, decay in zip(states.unbind(), decays.unbind(), strict=True):
        h_SDN = state.addcmul_(decay, h_SDN)


def _cuda_scan(
    x_BTD: Tensor, delta_BTD: Tensor, a_DN: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BDN: Tensor
) -> tuple[Tensor, Tensor]:
    """The scan by mamba_ssm's kernel, which starts from a zero state. Other states and float64 use TorchScan."""
    if x_BTD.dtype == torch.float64 or h_BDN.any():
        kernel = TorchScan()
        arguments = [tensor.contiguous() for tensor in (x_BTD, delta_BTD, a_DN, b_BTN, c_BTN, h_BDN)]
        return SelectiveScan.apply(*arguments, kernel)  # type: ignore[return-value]
    # the kernel needs time last and one dtype; float32 keeps the precision of delta
    x, delta, b, c = (tensor.float().transpose(1, 2).contiguous() for tensor in (x_BTD, delta_BTD, b_BTN, c_BTN))
    y_BDT, last_BDN = cuda_kernel()(x, delta, a_DN.float(), b, c, return_last_state=True)
    return y_BDT.transpose(1, 2).to(x_BTD.dtype), last_BDN.detach()


@functools.cache
def chosen_backend(backend: Backend, device: str, signed: bool = False) -> Literal["torch", "native", "cuda"]:
    """Choose the implementation for a type of device ("cpu", "cuda", ...). Decided and logged once per process.

    `auto` uses the CUDA kernel on a GPU and the native kernel on a CPU if available, else torch. `native` compiles on
    first use, and falls back to torch with a warning if that fails. The CUDA kernel has no signed eigenvalues: `cuda`
    takes torch for them, with a warning.

    Raises:
        ValueError: `cuda` without mamba_ssm or not on a GPU, or `native` not on a CPU.
    """
    if backend == "cuda" and device != "cuda":
        raise ValueError(f"backend=cuda computes on a GPU, and the model is on {device}: use backend=auto")
    if backend == "cuda" or (backend == "auto" and device == "cuda"):
        chosen, reason = "cuda", ""
        if signed:
            chosen, reason = "torch", "; the kernel of mamba_ssm has no signed eigenvalues"
        else:
            try:
                cuda_kernel()
            except ValueError as error:
                if backend == "cuda":
                    raise
                chosen, reason = "torch", f"; {error}"
        level = logging.WARNING if backend not in ("auto", chosen) else logging.INFO
        logger.log(level, "selective scan on %s: backend=%s takes %s%s", device, backend, chosen, reason)
        return chosen
    return choice.chosen_backend("selective scan", backend, device, "")


@functools.cache
def cuda_kernel() -> Callable[..., Any]:
    """Import selective_scan_fn of mamba_ssm.

    Raises:
        ValueError: the import fails; the message says why and what to install.
    """
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # type: ignore[import-not-found]
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: a compiled part does not fit torch
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"backend=cuda needs mamba_ssm, which cannot be imported ({reason}): on Linux with a GPU, install torch "
            f"first, then `{INSTALL_CUDA}`; or use backend=auto"
        ) from error
    return selective_scan_fn
