"""The sLSTM (Beck et al. 2024): a cell with a recurrence in plain torch and optional CUDA kernels of package xlstm."""

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


@torch.compiler.disable()  # torch.compile would unroll the loop: minutes, to save a few percent of a training step
def slstm_scan(gates_THBF: Tensor, kernel_HDF: Tensor, state_SHBD: Tensor) -> tuple[Tensor, Tensor]:
    """Stabilised sLSTM (Beck et al. 2024, "xLSTM", equations 8 to 17) with one recurrent matrix per head.

    Values and gradients equal those of `slstm_forward` in the package xlstm (tests/models/test_xlstm.py). It takes an
    eighth of the time: it does not write into large tensors inside autograd, and a step is one matrix product and a few
    operations.

    Args:
        gates_THBF: the input's contribution to the four gates, including the bias.
        kernel_HDF: recurrent weights.
        state_SHBD: output, cell, normaliser and stabiliser (a logarithm) before the first step; initially zeros.

    Returns:
        Outputs (T, H, B, D) and the state after the last step.
    """
    output, cell, normaliser, maximum = state_SHBD.unbind()
    # in the initial state there is nothing to forget, so only the input gate sets the scale
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
    """Replaces the package's two sLSTM cells: one set of weights for the plain loop and for the CUDA kernels.

    The weights always have the names and layout of the package's vanilla cell. Each call of the kernels converts them
    with the cells' own functions. So a checkpoint, with its optimizer's moments, is independent of the device on which
    it was written. (If the kernels' layout were stored, only the recurrent weights would change shape; the bias and the
    optimizer's moments would load without an error, but permuted.)
    """

    def __init__(self, vanilla: Any, *, with_kernels: bool, required: bool):
        super().__init__()
        self._recurrent_kernel_ = vanilla._recurrent_kernel_
        self._bias_ = vanilla._bias_
        self.with_kernels = with_kernels
        self.required = required
        # in tuples, so that their parameters are not registered again
        self.vanilla = (vanilla,)
        self.kernels: tuple[Any, ...] = ()  # the package's CUDA cell, created on the first tensor on a GPU

    def reset_parameters(self) -> None:
        """Initialise like the package's cell."""
        fresh = type(self.vanilla[0])(self.vanilla[0].config)
        with torch.no_grad():
            self._recurrent_kernel_.copy_(fresh._recurrent_kernel_)
            self._bias_.copy_(fresh._bias_)

    def forward(self, gates_BTF: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (batch, heads, time, head width) and the next state (4, batch, channels), as in the package."""
        if gates_BTF.is_cuda and self.with_kernels and not self.kernels:
            self.kernels = self.compile_kernels()
        if gates_BTF.is_cuda and self.kernels:
            return self.by_kernels(gates_BTF, state)
        return self.by_loop(gates_BTF, state)

    def external(self) -> tuple[Tensor, Tensor]:
        """Recurrent weights (H, D, G, D) and bias (H, G, D), with the gates input, forget, cell and output."""
        (vanilla,) = self.vanilla
        return vanilla._recurrent_kernel_int2ext(self._recurrent_kernel_), vanilla._bias_int2ext(self._bias_)

    def by_loop(self, gates_BTF: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """`forward` as a loop over steps in plain torch."""
        kernel_HDGD, bias_HGD = self.external()
        heads, width = kernel_HDGD.shape[:2]
        batch, time, _ = gates_BTF.shape
        gates_THBGD = gates_BTF.view(batch, time, 4, heads, width).permute(1, 3, 0, 2, 4) + bias_HGD.unsqueeze(1)
        before_SBC = self._bias_.new_zeros(4, batch, heads * width) if state is None else state
        before_SHBD = before_SBC.view(4, batch, heads, width).transpose(1, 2)
        output_THBD, state_SHBD = slstm_scan(gates_THBGD.flatten(3), kernel_HDGD.flatten(2), before_SHBD)
        return output_THBD.permute(2, 1, 0, 3), state_SHBD.transpose(1, 2).flatten(2)

    def by_kernels(self, gates_BTF: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """`forward` with the package's CUDA cell."""
        (vanilla,), (cuda,) = self.vanilla, self.kernels
        kernel = cuda._recurrent_kernel_ext2int(vanilla._recurrent_kernel_int2ext(self._recurrent_kernel_))
        bias = cuda._bias_ext2int(vanilla._bias_int2ext(self._bias_))
        return functional_call(cuda, {"_recurrent_kernel_": kernel, "_bias_": bias}, (gates_BTF, state))

    def compile_kernels(self) -> tuple[Any, ...]:
        """Compile the package's CUDA cell. Empty if compilation fails and the kernels are not required."""
        import ninja
        from xlstm.blocks.slstm.cell import sLSTMCell_cuda

        log.info("xlstm: compiling the CUDA kernels of the sLSTM (minutes, once on a machine)")
        # ninja is called by name, and an environment that is not activated is not on PATH
        os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), ninja.BIN_DIR])
        try:
            # the vanilla cell has set its own gate layout in the config that is copied here
            return (sLSTMCell_cuda(replace(self.vanilla[0].config, backend="cuda", internal_input_shape="SBNGH")),)
        except (ImportError, OSError, RuntimeError) as error:
            if self.required:
                raise ValueError(f"backend=cuda: the kernels of xlstm cannot be compiled: {error}") from error
            log.warning("xlstm: plain torch, since the CUDA kernels cannot be compiled: %s", error)
            self.with_kernels = False
            return ()


def choose_backend(backend: str) -> bool:
    """Decide whether to use the CUDA kernels for tensors on a GPU, and log the decision.

    Not logged: that there is no GPU for backend=auto. What is taken on a CPU is logged with its first use
    (seqlab/nn/native/choice.py).

    Raises:
        ValueError: backend=cuda, but a requirement is missing.
    """
    missing = why_no_kernels() if backend in ("auto", "cuda") else f"backend={backend}"
    if missing and backend == "cuda":
        raise ValueError(f"backend=cuda: {missing}; allowed here: auto, vanilla")
    if backend in ("auto", "native") and not torch.cuda.is_available():
        return False
    log.info("xlstm: %s", f"plain torch ({missing})" if missing else "the CUDA kernels for tensors on a GPU")
    return missing is None


def why_no_kernels() -> str | None:
    """The missing requirement of the package's CUDA kernels, or None."""
    from torch.utils import cpp_extension

    if not torch.cuda.is_available() or torch.version.cuda is None:
        return "needs an NVIDIA GPU and a CUDA build of torch"
    capability = torch.cuda.get_device_capability()
    if capability < (8, 0):
        return f"needs a GPU of compute capability 8.0 or more, this one has {capability[0]}.{capability[1]}"
    if cpp_extension.CUDA_HOME is None or not (Path(cpp_extension.CUDA_HOME) / "bin" / "nvcc").exists():
        return "needs the CUDA toolkit (bin/nvcc in the folder that CUDA_HOME names) to compile its kernels"
    return None
