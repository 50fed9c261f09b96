"""The LSTM (Hochreiter & Schmidhuber 1997), and in its place the GRU and the plain RNN, based on torch's layers."""

from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Gt, Interval, Le
from torch import Tensor, nn

from seqlab.model import SequenceModel, zeros
from seqlab.nn.dropout import Dropout
from seqlab.nn.embedding import input_layer, learned_embedding, tie
from seqlab.nn.native import gru, lstm
from seqlab.nn.native.choice import Backend, is_plain, takes_native
from seqlab.nn.native.time_major import time_major
from seqlab.spec import Spec

# B batch, T time, C channels, L layers, H hidden, N steps of all rows


class LSTMState(NamedTuple):
    """Hidden and cell state of every layer."""

    hidden_BLH: Tensor
    cell_BLH: Tensor


class RNNState(NamedTuple):
    """Hidden state of every layer of a GRU or plain RNN."""

    hidden_BLH: Tensor


CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
KERNELS = {"lstm": lstm.layer, "gru": gru.layer}


class LSTM(SequenceModel):
    """Embedding, a stack of recurrent layers, dropout, a linear head.

    Args:
        spec: input and output format.
        d_model: width of the embedding.
        hidden_dim: width of every recurrent layer.
        num_layers: number of layers.
        dropout: dropout on the output of the last layer.
        layer_dropout: dropout between layers.
        input_dropout: dropout on the embedded input (as in Zaremba et al. 2014).
        tied: tie the head's weights to the embedding (Press & Wolf 2017); needs tokens and hidden_dim = d_model.
        embedding_range: initialise the embedding uniformly in -range .. range; None: from N(0, 1).
        cell: `lstm`; `gru` (Cho et al. 2014; nn.GRU, whose reset gate acts on the product of the hidden state); `rnn`
            (Elman 1990; nn.RNN, with tanh).
        backend: `native`: whole sequences on a CPU are read with C++ kernels (seqlab/nn/native), in float32, the LSTM
            under autocast to bfloat16 too. `torch`: nn.LSTM and its kind. `auto`: native where it is available. What
            has no kernel is torch's: the plain RNN, and the GRU under autocast.

    Raises:
        ValueError: layer_dropout is set with one layer, or `tied` or `embedding_range` without a suitable embedding.
    """

    endless_state = True

    def __init__(
        self,
        spec: Spec,
        *,
        d_model: Annotated[int, Ge(1)] = 64,
        hidden_dim: Annotated[int, Ge(1)] = 256,
        num_layers: Annotated[int, Ge(1), Le(1000)] = 6,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1,
        layer_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        input_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        tied: bool = False,
        embedding_range: Annotated[float, Gt(0)] | None = None,
        cell: Literal["lstm", "gru", "rnn"] = "lstm",
        backend: Backend = "auto",
    ):
        super().__init__(spec)
        if layer_dropout and num_layers == 1:
            raise ValueError(f"layer_dropout={layer_dropout} acts between layers: num_layers must be above 1")
        self.embedding = input_layer(spec, d_model)
        self.input_dropout = Dropout(input_dropout)
        # called lstm whatever the cell: parameters have their names from it
        self.lstm = CELLS[cell](d_model, hidden_dim, num_layers, batch_first=True, dropout=layer_dropout)
        self.layer_dropout = Dropout(layer_dropout)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(hidden_dim, spec.output.width)
        if embedding_range is not None:
            nn.init.uniform_(learned_embedding(self.embedding).weight, -embedding_range, embedding_range)
        if tied:
            tie(self.head, self.embedding)
        self.cell = cell
        self.backend: Backend = backend

    def _is_native(self) -> bool:
        if not is_plain(self.lstm, CELLS[self.cell]):
            return False
        missing = ""
        if self.cell not in KERNELS:
            missing = f"there is no native kernel for cell={self.cell}"
        elif self.cell == "gru" and torch.is_autocast_enabled("cpu"):
            missing = "there is no native kernel for cell=gru in bfloat16"
        return takes_native(self.cell, self.backend, self.lstm.get_parameter("weight_hh_l0"), missing)

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        if not self._is_native():
            return super().packed(inputs, lengths)
        return self.head(self._read_packed(inputs, lengths))

    def _read_packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """What the head reads, (N, H), one row after another, with the native kernels."""
        order, read_layer = time_major(lengths), KERNELS[self.cell]
        x_NC = self.input_dropout(self.embedding(inputs[order.rows, order.times]))
        for index in range(self.lstm.num_layers):
            x_NC = read_layer(self.layer_dropout(x_NC) if index else x_NC, self.lstm, order, index)
        return self.dropout(order.restored(x_NC))

    def forward(self, inputs: Tensor) -> Tensor:
        if not self._is_native():
            return super().forward(inputs)
        batch, time = inputs.shape[:2]
        output_NH = self._read_packed(inputs, torch.full((batch,), time))
        return self.head(output_NH.unflatten(0, (batch, time)))

    def init_state(self, batch: int, length: int | None = None) -> LSTMState | RNNState:
        shape = (batch, self.lstm.num_layers, self.lstm.hidden_size)
        return (
            LSTMState(zeros(self, *shape), zeros(self, *shape))
            if self.cell == "lstm"
            else RNNState(zeros(self, *shape))
        )

    def prefill(self, inputs: Tensor, state: LSTMState | RNNState) -> tuple[Tensor, LSTMState | RNNState]:
        # torch's layers need (layers, batch, hidden) in contiguous memory
        before = tuple(part.transpose(0, 1).contiguous() for part in state)
        x_BTC = self.input_dropout(self.embedding(inputs))
        if x_BTC.is_cpu and torch.is_autocast_enabled("cpu"):
            # with float32 inputs under autocast, oneDNN fails on processors without bfloat16 (torch 2.13)
            x_BTC = x_BTC.to(torch.get_autocast_dtype("cpu"))
        if isinstance(state, RNNState):
            output_BTH, hidden_LBH = self.lstm(x_BTC, *before)
            after = RNNState(hidden_LBH.transpose(0, 1))
        else:
            output_BTH, (hidden_LBH, cell_LBH) = self.lstm(x_BTC, before)
            after = LSTMState(hidden_LBH.transpose(0, 1), cell_LBH.transpose(0, 1))
        return self.head(self.dropout(output_BTH)), after
