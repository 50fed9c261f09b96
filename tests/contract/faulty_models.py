"""Small models with one fault each, beside three without: tests/contract/test_faults.py says which check finds it."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu

from seqlab.model import Rereading, SequenceModel


class MeanState(NamedTuple):
    """Sum and number of what was read."""

    sum_BC: Tensor
    count_B: Tensor


class Average(SequenceModel):
    """Without a fault: the input in hand and the mean of all so far, with dropout."""

    endless_state = True

    def __init__(self, spec):
        super().__init__(spec)
        self.embedding = nn.Embedding(spec.input.size, 8)
        self.hidden, self.head = nn.Linear(16, 16), nn.Linear(16, spec.output.width)
        self.dropout = nn.Dropout(0.5)

    def init_state(self, batch, length=None):
        weight = self.head.weight
        return MeanState(weight.new_zeros(batch, 8), torch.zeros(batch, dtype=torch.int64, device=weight.device))

    def prefill(self, inputs, state):
        x_BTC = self.embedding(inputs)
        sum_BTC = state.sum_BC.unsqueeze(1) + x_BTC.cumsum(1)
        count_BT = state.count_B.unsqueeze(1) + torch.arange(1, inputs.shape[1] + 1)
        logits = self.logits(x_BTC, sum_BTC / count_BT.unsqueeze(2))
        return logits, MeanState(sum_BTC[:, -1], count_BT[:, -1])

    def logits(self, x_BTC, mean_BTC):
        return self.head(self.dropout(gelu(self.hidden(torch.cat([x_BTC, mean_BTC], 2)))))


class Reread(Rereading):
    """Without a fault and without a state: a causal convolution."""

    def __init__(self, spec):
        super().__init__(spec)
        self.embedding = nn.Embedding(spec.input.size, 8)
        self.convolution = nn.Conv1d(8, 8, 3)
        self.head = nn.Linear(8, spec.output.width)

    def forward(self, inputs):
        x_BCT = self.embedding(inputs).transpose(1, 2)
        return self.head(gelu(self.convolution(nn.functional.pad(x_BCT, (2, 0)))).transpose(1, 2))


class StartsAtZero(Reread):
    """Without a fault: two factors, of which one begins at zero and the other waits for it."""

    def __init__(self, spec):
        super().__init__(spec)
        self.down, self.up = nn.Linear(7, 2, bias=False), nn.Linear(2, 7, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, inputs):
        logits = super().forward(inputs)
        return logits + self.up(self.down(logits))


class SeesTheFuture(Reread):
    """A convolution that is padded on both sides."""

    def forward(self, inputs):
        x_BCT = self.embedding(inputs).transpose(1, 2)
        return self.head(gelu(self.convolution(nn.functional.pad(x_BCT, (1, 1)))).transpose(1, 2))


class StepBehind(Reread):
    """An output that does not see its own input."""

    def forward(self, inputs):
        return super().forward(inputs).roll(1, 1) * (torch.arange(inputs.shape[1]) > 0).unsqueeze(1)


class LastStepOnly(Reread):
    """One output for a whole sequence."""

    def forward(self, inputs):
        return super().forward(inputs)[:, -1]


class BatchNormed(Reread):
    """Batch norm over rows and steps: in evaluation it mixes nothing."""

    def __init__(self, spec):
        super().__init__(spec)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, inputs):
        x_BCT = self.norm(self.embedding(inputs).transpose(1, 2))
        return self.head(gelu(self.convolution(nn.functional.pad(x_BCT, (2, 0)))).transpose(1, 2))


class MixesRows(Average):
    """The mean over the batch is taken away."""

    def logits(self, x_BTC, mean_BTC):
        return super().logits(x_BTC, mean_BTC - mean_BTC.mean(0))


class StaleState(Average):
    """Returns the state that it was given."""

    def prefill(self, inputs, state):
        return super().prefill(inputs, state)[0], state


class ForgetsBeforeAChunk(Average):
    """A chunk begins anew; a single step goes on."""

    def prefill(self, inputs, state):
        return super().prefill(inputs, state if inputs.shape[1] == 1 else self.init_state(len(inputs)))


class InPlace(Average):
    """Writes the new state over the old one."""

    def prefill(self, inputs, state):
        logits, after = super().prefill(inputs, state)
        state.sum_BC.copy_(after.sum_BC)
        state.count_B.copy_(after.count_B)
        return logits, state


class OnTheModule(Average):
    """Keeps its state, and returns one that says nothing."""

    def init_state(self, batch, length=None):
        self.kept = super().init_state(batch)
        return super().init_state(batch)

    def prefill(self, inputs, state):
        logits, self.kept = super().prefill(inputs, self.kept)
        return logits, MeanState(state.sum_BC, state.count_B + inputs.shape[1])


class DictState(Average):
    """A state that `clone` cannot copy."""

    def init_state(self, batch, length=None) -> Any:
        return super().init_state(batch)._asdict()

    def prefill(self, inputs, state) -> tuple[Tensor, Any]:
        logits, after = super().prefill(inputs, MeanState(**state))
        return logits, after._asdict()


class GrowingState(Average):
    """Says endless, and keeps all inputs."""

    def prefill(self, inputs, state):
        logits, after = super().prefill(inputs, MeanState(state.sum_BC[:, :8], state.count_B))
        return logits, MeanState(torch.cat([after.sum_BC, state.sum_BC], 1), after.count_B)


class WithoutEnd(Reread):
    """Reads on where its state has no room."""

    def prefill(self, inputs, state):
        if inputs.shape[1] > state.inputs.shape[1]:
            return self(inputs), state
        return super().prefill(inputs, state)


class ReadsPadding(Reread):
    """A convolution over the packed rows, which reads over their ends."""

    def packed(self, inputs, lengths):
        return self(inputs.flatten().unsqueeze(0))[0, : int(lengths.sum())]


class DeadParameter(Reread):
    """A layer that nothing uses."""

    def __init__(self, spec):
        super().__init__(spec)
        self.forgotten = nn.Linear(8, 8)


class RootOfZero(Reread):
    """A gradient that is infinite."""

    def forward(self, inputs):
        logits = super().forward(inputs)
        return logits + (self.head.bias * 0).abs().sqrt()


class HiddenTensor(Reread):
    """A random tensor that no checkpoint has."""

    def __init__(self, spec):
        super().__init__(spec)
        self.scale = torch.randn(spec.output.width)

    def forward(self, inputs):
        return super().forward(inputs) * self.scale


class AlwaysDropout(Reread):
    """Dropout in evaluation too."""

    def forward(self, inputs):
        return super().forward(inputs) * dropout(torch.ones(7), 0.5)


class Float32Inside(Reread):
    """A matrix product with a constant of its own dtype."""

    def forward(self, inputs):
        return super().forward(inputs) @ torch.eye(7)


class RoundsAway(Reread):
    """Adds a large number for a while: bfloat16 has no place left for the rest."""

    def forward(self, inputs):
        return (super().forward(inputs) + 32) - 32


class ReadsItsWeights(Reread):
    """A size that follows from a weight."""

    def __init__(self, spec):
        super().__init__(spec)
        self.more = nn.Parameter(torch.zeros(3 if float(self.head.weight.detach().sum()) < 99 else 4))

    def forward(self, inputs):
        return super().forward(inputs) + self.more.sum()
