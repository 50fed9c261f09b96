"""The sLSTM (Beck et al. 2024): its recurrence in plain torch, and the package's CUDA kernels behind the same cell."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import logsigmoid

# T time, B batch, H heads, D head width, C = H D channels, G = 4 gates (input, forget, cell, output), F = G D,
# S = 4 states

log = logging.getLogger(__name__)


@torch.compiler.disable()  # a compiler unrolls the loop: minutes, for some hundredths of a training step
def slstm_scan(gates_THBF: Tensor, kernel_HDF: Tensor, state_SHBD: Tensor) -> tuple[Tensor, Tensor]:
    """Stabilised sLSTM (Beck et al. 2024, "xLSTM", equations 8 to 17) with a recurrent matrix for each head.

    Values and gradients are those of `slstm_forward` in the package xlstm (tests/models/test_xlstm.py). It takes an
    eighth of the time: it writes into no large tensor inside autograd, and a step is one product and few operations.

    Args:
        gates_THBF: what the input adds to the four gates, bias included.
        kernel_HDF: recurrent weights.
        state_SHBD: output, cell, normaliser and stabiliser (a logarithm) before the first step; zeros at the start.

    Returns:
        Outputs (T, H, B, D) and the state after the last step.
    """
    output, cell, normaliser, maximum = state_SHBD.unbind()
    # before the first input nothing is there to forget, so the input gate alone sets the scale
    empty = normaliser == 0
    outputs = []
    for time, gates_HBF in enumerate(gates_THBF.unbind()):
        recurrent_HBF = torch.bmm(output, kernel_HDF)
        log_input, forget, candidate, out = (gates_HBF + recurrent_HBF).chunk(4, -1)
        log_kept = maximum + logsigmoid(forget)
        if time == 0:
            log_kept = log_kept.masked_fill(empty, -torch.inf)
        maximum = torch.maximum(log_input, log_kept)
        entering, kept = torch.exp(log_input - maximum), torch.exp(log_kept - maximum)
        cell = kept * cell + entering * torch.tanh(candidate)
        normaliser = kept * normaliser + entering
        output = torch.sigmoid(out) * cell / normaliser
        outputs.append(output)
    return torch.stack(outputs), torch.stack((output, cell, normaliser, maximum))


class SLSTMCell(nn.Module):
    """The sLSTM cell in place of the package's two: one set of weights for the plain loop and for the CUDA kernels.

    The weights have the names and the layout of the package's vanilla cell, always: the kernels get them converted at
    each call, by the cells' own functions. So a checkpoint, with its optimizer's moments, does not depend on where it
    was written. (Had the kernels' layout been kept, only the recurrent weights would change their shape: the bias and
    the moments would fit, permuted.)
    """

    def __init__(self, vanilla: Any, *, with_kernels: bool, required: bool):
        super().__init__()
        self._recurrent_kernel_ = vanilla._recurrent_kernel_
        self._bias_ = vanilla._bias_
        self.with_kernels = with_kernels
        self.required = required
        # in tuples, so that their parameters are not taken for further ones
        self.vanilla = (vanilla,)
        self.kernels: tuple[Any, ...] = ()  # the package's CUDA cell, once a tensor on a GPU has come

    def reset_parameters(self) -> None:
        """As the package's cell starts."""
        fresh = type(self.vanilla[0])(self.vanilla[0].config)
        with torch.no_grad():
            self._recurrent_kernel_.copy_(fresh._recurrent_kernel_)
            self._bias_.copy_(fresh._bias_)

    def forward(self, gates_BTF: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (batch, heads, time, head width) and the state (4, batch, channels) after them, as in the package."""
        if gates_BTF.is_cuda and self.with_kernels and not self.kernels:
            self.kernels = self.compile_kernels()
        if gates_BTF.is_cuda and self.kernels:
            return self.by_kernels(gates_BTF, state)
        return self.by_loop(gates_BTF, state)

    def by_loop(self, gates_BTF: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """`forward` in plain torch, a step after the other."""
        (vanilla,) = self.vanilla
        kernel_HDGD = vanilla._recurrent_kernel_int2ext(self._recurrent_kernel_)
        bias_HGD = vanilla._bias_int2ext(self._bias_)
        heads, width = kernel_HDGD.shape[:2]
        batch, time, _ = gates_BTF.shape
        gates_THBGD = gates_BTF.view(batch, time, 4, heads, width).permute(1, 3, 0, 2, 4) + bias_HGD.unsqueeze(1)
        before_SBC = self._bias_.new_zeros(4, batch, heads * width) if state is None else state
        before_SHBD = before_SBC.view(4, batch, heads, width).transpose(1, 2)
        output_THBD, state_SHBD = slstm_scan(gates_THBGD.flatten(3), kernel_HDGD.flatten(2), before_SHBD)
        return output_THBD.permute(2, 1, 0, 3), state_SHBD.transpose(1, 2).flatten(2)

    def by_kernels(self, gates_BTF: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """`forward` by the package's CUDA cell."""
        (vanilla,), (cuda,) = self.vanilla, self.kernels
        kernel = cuda._recurrent_kernel_ext2int(vanilla._recurrent_kernel_int2ext(self._recurrent_kernel_))
        bias = cuda._bias_ext2int(vanilla._bias_int2ext(self._bias_))
        return functional_call(cuda, {"_recurrent_kernel_": kernel, "_bias_": bias}, (gates_BTF, state))

    def compile_kernels(self) -> tuple[Any, ...]:
        """The package's CUDA cell; nothing where it cannot be compiled and need not be."""
        import ninja
        from xlstm.blocks.slstm.cell import sLSTMCell_cuda

        log.info("xlstm: compiling the CUDA kernels of the sLSTM (minutes, once on a machine)")
        # the compiler is called by name, and an environment that is not activated is not on the path
        os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), ninja.BIN_DIR])
        try:
            # the vanilla cell has written its own layout of the gates into the config that is copied here
            return (sLSTMCell_cuda(replace(self.vanilla[0].config, backend="cuda", internal_input_shape="SBNGH")),)
        except (ImportError, OSError, RuntimeError) as error:
            if self.required:
                raise ValueError(f"backend=cuda: the kernels of xlstm cannot be compiled: {error}") from error
            log.warning("xlstm: plain torch, since the CUDA kernels cannot be compiled: %s", error)
            self.with_kernels = False
            return ()


def choose_backend(backend: str) -> bool:
    """Whether the CUDA kernels are to be used for tensors on a GPU; said once in the log.

    Raises:
        ValueError: when they are asked for and something that they need is missing.
    """
    missing = why_no_kernels() if backend in ("auto", "cuda") else f"backend={backend}"
    if missing and backend == "cuda":
        raise ValueError(f"backend=cuda: {missing}; allowed here: auto, vanilla")
    log.info("xlstm: %s", f"plain torch ({missing})" if missing else "the CUDA kernels for tensors on a GPU")
    return missing is None


def why_no_kernels() -> str | None:
    """What the package's CUDA kernels need and do not find here, or None."""
    from torch.utils import cpp_extension

    if not torch.cuda.is_available() or torch.version.cuda is None:
        return "needs an NVIDIA GPU and a CUDA build of torch"
    capability = torch.cuda.get_device_capability()
    if capability < (8, 0):
        return f"needs a GPU of compute capability 8.0 or more, this one has {capability[0]}.{capability[1]}"
    if cpp_extension.CUDA_HOME is None or not (Path(cpp_extension.CUDA_HOME) / "bin" / "nvcc").exists():
        return "needs the CUDA toolkit (bin/nvcc in the folder that CUDA_HOME names) to compile its kernels"
    return None
