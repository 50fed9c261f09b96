"""What we put into the package's mLSTM layers: a step that may be a kernel's, and no convolution."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.nn.native import xlstm as native
from seqlab.nn.native.choice import Backend, takes_native

# B batch, H heads, D width of a head


@dataclass
class MLSTMStep:
    """What a cell of the package calls for each step (Beck et al. 2024, "xLSTM", equations 19 to 27).

    backend: who computes; without gradients on a CPU it may be a kernel, which reads the memory once. The cells of a
        model share one object, so that the model can change it.
    """

    backend: Backend

    def __call__(self, **arguments: Any) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """One step: h (B, H, 1, D) and the next c, n and m.

        Args:
            arguments: by the package's names, c_state (B, H, D, D), n_state (B, H, D, 1) and m_state (B, H, 1, 1); q, k
                and v (B, H, 1, D); igate_preact and fgate_preact (B, H, 1, 1).
        """
        query = arguments["q"]
        may = self.backend != "torch" and query.is_cpu and not torch.is_grad_enabled()
        if may and takes_native("xlstm", self.backend, query):
            return native.mlstm_step(**arguments)
        from xlstm.blocks.mlstm.backends import recurrent_step_stabilized_simple  # lazy, as all of the package

        out, (memory, normaliser, level) = recurrent_step_stabilized_simple(**arguments)  # type: ignore[misc]
        return out, (memory, normaliser, level)


class NoConvolution(nn.Module):
    """In the place of an mLSTM layer's convolution: passes everything on.

    The package means this by a kernel of size 0, with which its own layer cannot be constructed.
    """

    def forward(self, x_BTI: Tensor) -> Tensor:
        """x."""
        return x_BTI

    def step(self, x_B1I: Tensor, conv_state: Any) -> tuple[Tensor, Any]:
        """x and the state, which is empty."""
        return x_B1I, conv_state
