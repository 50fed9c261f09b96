"""A deep LSTM for long memory, with optional residual connections, layer norm and gate initialisations."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Interval, Le
from torch import Tensor, nn

from seqlab.model import SequenceModel, zeros
from seqlab.models.lstm import LSTMState
from seqlab.nn.dropout import Dropout
from seqlab.nn.embedding import input_layer
from seqlab.nn.native import lstm as native
from seqlab.nn.native.choice import Backend, is_plain, takes_native
from seqlab.nn.native.time_major import time_major
from seqlab.nn.peephole import PeepholeLSTM
from seqlab.spec import Spec

# B batch, T time, C channels, L layers, H hidden (here H = C), N steps of all rows

BiasInit = Literal["forget", "chrono", "torch"]
WeightInit = Literal["orthogonal", "torch"]


class DeepLSTM(SequenceModel):
    """An input layer, LSTM layers of equal width, a linear head.

    Each layer is a one-layer nn.LSTM, so that fused kernels compute it. A layer maps x to
    y = dropout(LSTM(x)). After every `skip_every` layers, y becomes (y + the input of the first of them) / sqrt(2).
    There is a LayerNorm between layers. Dropout is never applied to the recurrence (Zaremba et al. 2014).

    Args:
        spec: input and output format; chrono initialisation takes its longest memory from spec.max_length.
        d_model: width of every layer.
        num_layers: number of layers.
        dropout: dropout on each layer's output.
        bias_init: `forget`: 1 for the forget gate, 0 for the others (Jozefowicz et al. 2015). `chrono`: log u with u
            uniform in 1 .. max_length - 1 for the forget gate, and its negative for the input gate (Tallec & Ollivier
            2018, equation 16). `torch`: uniform in plus and minus 1 / sqrt(d_model), like nn.LSTM.
        weight_init: `orthogonal`: per gate, orthogonal recurrent weights (Saxe et al. 2014) and uniform input weights
            after Glorot & Bengio (2010). `torch`: uniform, like nn.LSTM.
        skip_every: number of layers that one skip connection spans; 0: no skip connections.
        layer_norm: nn.LayerNorm between layers (Ba et al. 2016), eps 1e-5; it needs no running statistics.
        peepholes: use peephole connections (seqlab/nn/peephole.py), with a Python loop over steps in plain torch.
        backend: `native`: whole sequences on a CPU are read with C++ kernels (seqlab/nn/native), in float32 or under
            autocast. `torch`: nn.LSTM. `auto`: native where it is available.

    Raises:
        ValueError: chrono with spec.max_length below 3.
    """

    endless_state = True

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 5,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.2,
        bias_init: BiasInit = "forget",
        weight_init: WeightInit = "orthogonal",
        skip_every: Annotated[int, Ge(0)] = 2,
        layer_norm: bool = True,
        peepholes: bool = False,
        backend: Backend = "auto",
    ):
        super().__init__(spec)
        if bias_init == "chrono" and spec.max_length < 3:
            raise ValueError(f"bias_init=chrono needs sequences of 3 steps or more, not {spec.max_length}")
        most = max(num_layers, 2)  # so that the default fits one layer
        if skip_every > most:
            raise ValueError(f"skip_every={skip_every} with num_layers={num_layers}; allowed: 0 to {most}")
        self.skip_every = skip_every
        self.d_model = d_model
        self.embedding = input_layer(spec, d_model)
        self.layers = nn.ModuleList(
            PeepholeLSTM(d_model, d_model) if peepholes else nn.LSTM(d_model, d_model, batch_first=True)
            for _ in range(num_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(d_model, eps=1e-5) for _ in range(num_layers - 1) if layer_norm)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(d_model, spec.output.width)
        for layer in self.layers:
            start_weights(layer, weight_init)
            start_biases(layer, bias_init, spec.max_length)
        self.backend: Backend = backend

    def init_state(self, batch: int, length: int | None = None) -> LSTMState:
        shape = (batch, len(self.layers), self.d_model)
        return LSTMState(zeros(self, *shape), zeros(self, *shape))

    def _read(self, x: Tensor, read_layer: Callable[[int, Tensor], Tensor]) -> Tensor:
        """The layers, and dropout, skip connections and norms between them: (..., C) to (..., C)."""
        skipped = x
        for index in range(len(self.layers)):
            x = self.dropout(read_layer(index, x))
            ends_block = self.skip_every and (index + 1) % self.skip_every == 0
            if ends_block:
                x = (x + skipped) * 0.5**0.5
            if index < len(self.norms):
                x = self.norms[index](x)
            if ends_block:
                skipped = x
        return x

    def _is_native(self) -> bool:
        plain = all(is_plain(layer, nn.LSTM) for layer in self.layers)  # not with peepholes
        return plain and takes_native("deep_lstm", self.backend, self.layers[0].get_parameter("weight_hh_l0"))

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        if not self._is_native():
            return super().packed(inputs, lengths)
        return self.head(self._read_packed(inputs, lengths))

    def _read_packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """What the head reads, (N, C), one row after another, with the native kernels."""
        order = time_major(lengths)

        def read_layer(index: int, x_NC: Tensor) -> Tensor:
            return native.layer(x_NC, self.layers[index], order)  # type: ignore[arg-type]

        x_NC = self._read(self.embedding(inputs[order.rows, order.times]), read_layer)
        return order.restored(x_NC)

    def forward(self, inputs: Tensor) -> Tensor:
        if not self._is_native():
            return super().forward(inputs)
        batch, time = inputs.shape[:2]
        output_NC = self._read_packed(inputs, torch.full((batch,), time))
        return self.head(output_NC.unflatten(0, (batch, time)))

    def prefill(self, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        hidden, cell = [], []

        def read_layer(index: int, x_BTC: Tensor) -> Tensor:
            if x_BTC.is_cpu and torch.is_autocast_enabled("cpu"):
                # with float32 inputs under autocast, oneDNN fails on processors without bfloat16 (torch 2.13)
                x_BTC = x_BTC.to(torch.get_autocast_dtype("cpu"))
            # nn.LSTM needs (layers, batch, hidden) in contiguous memory
            before = tuple(part[:, index].unsqueeze(0).contiguous() for part in state)
            x_BTC, (hidden_1BH, cell_1BH) = self.layers[index](x_BTC, before)
            hidden.append(hidden_1BH[0])
            cell.append(cell_1BH[0])
            return x_BTC

        x_BTC = self._read(self.embedding(inputs), read_layer)
        return self.head(x_BTC), LSTMState(torch.stack(hidden, 1), torch.stack(cell, 1))


@torch.no_grad()
def start_weights(layer: nn.Module, how: WeightInit) -> None:
    """Initialise the weights of a one-layer LSTM, separately for each gate."""
    if how == "torch":
        return
    for gate in layer.get_parameter("weight_hh_l0").chunk(4):
        nn.init.orthogonal_(gate)
    for gate in layer.get_parameter("weight_ih_l0").chunk(4):
        nn.init.xavier_uniform_(gate)


@torch.no_grad()
def start_biases(layer: nn.Module, how: BiasInit, max_length: int) -> None:
    """Initialise the biases of a one-layer LSTM.

    torch adds two bias vectors for the gates i, f, g, o: the first is set here, the second is zero.
    """
    if how == "torch":
        return
    biases = layer.get_parameter("bias_ih_l0").zero_()
    layer.get_parameter("bias_hh_l0").zero_()
    input_gate, forget_gate, _, _ = biases.chunk(4)  # views
    if how == "forget":
        forget_gate.fill_(1.0)
    else:
        forget_gate.uniform_(1, max_length - 1).log_()
        input_gate.copy_(-forget_gate)
