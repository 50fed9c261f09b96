"""A model whose memory fades: each channel keeps a part of what it remembers at every step, and learns how much."""

from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn.functional import gelu

from seqlab.model import SequenceModel, zeros
from seqlab.nn.embedding import input_layer
from seqlab.spec import Spec

# B batch, T time, C channels


class DecayState(NamedTuple):
    """What is remembered of the inputs so far."""

    memory_BC: Tensor


class Decay(SequenceModel):
    """Embedding, an exponential moving average of it, one nonlinearity, a linear head.

    Args:
        spec: what goes in and comes out.
        d_model: width of the embedding.
    """

    endless_state = True  # the state keeps its size however much is read

    def __init__(self, spec: Spec, *, d_model: Annotated[int, Ge(1)] = 64):
        super().__init__(spec)
        self.embedding = input_layer(spec, d_model)
        self.keep_C = nn.Parameter(torch.linspace(-3.0, 3.0, d_model))
        self.head = nn.Linear(2 * d_model, spec.output.width)

    def init_state(self, batch: int, length: int | None = None) -> DecayState:
        """Nothing read: zeros (batch, d_model)."""
        return DecayState(zeros(self, batch, len(self.keep_C)))

    def prefill(self, inputs: Tensor, state: DecayState) -> tuple[Tensor, DecayState]:
        """Logits (batch, time, width) of a chunk, and the state after it."""
        x_BTC, keep_C = self.embedding(inputs), self.keep_C.sigmoid()
        memory_BC, memories = state.memory_BC, []
        for x_BC in x_BTC.unbind(1):
            memory_BC = keep_C * memory_BC + (1 - keep_C) * x_BC
            memories.append(memory_BC)
        logits = self.head(gelu(torch.cat([x_BTC, torch.stack(memories, 1)], 2)))
        return logits, DecayState(memory_BC)
