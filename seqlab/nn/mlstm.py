"""The recurrent step of an mLSTM: the package's, or on a CPU without gradients a kernel that reads its memory once."""

from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from seqlab.nn.native import xlstm as native
from seqlab.nn.native.choice import Backend, takes_native

# B batch, H heads, D width of a head


class Step(Protocol):
    """What a cell of the package calls for each step, by names."""

    def __call__(
        self, *, c_state: Tensor, n_state: Tensor, m_state: Tensor, q: Tensor, k: Tensor, v: Tensor,
        igate_preact: Tensor, fgate_preact: Tensor, eps: float = 1e-6,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:  # fmt: skip
        """Shapes: c (B, H, D, D), n (B, H, D, 1), m (B, H, 1, 1); q, k, v (B, H, 1, D); gates (B, H, 1, 1).

        Returns h (B, H, 1, D) and the next c, n and m.
        """
        ...


class WithBackend(Protocol):
    """A model that says who computes."""

    backend: Backend


def mlstm_step(model: WithBackend) -> Step:
    """The step of a model's cells (Beck et al. 2024, "xLSTM", equations 19 to 27), by the backend that it has then."""
    return partial(_step, model)


def _step(model: WithBackend, **arguments: Any) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    query = arguments["q"]
    may = model.backend != "torch" and query.is_cpu and not torch.is_grad_enabled()
    if may and takes_native("xlstm", model.backend, query):
        return native.mlstm_step(**arguments)
    from xlstm.blocks.mlstm.backends import recurrent_step_stabilized_simple  # lazy, as all of the package

    out, (memory, normaliser, level) = recurrent_step_stabilized_simple(**arguments)  # type: ignore[misc]
    return out, (memory, normaliser, level)
