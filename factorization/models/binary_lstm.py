"""The published factoring network: three stacked LSTMs, only the first of which sees time, and three linear layers."""

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear

from factorization.models.input_checks import input_width
from seqlab.spec import Spec

# B batch, T time, C channels, H hidden

Size = Annotated[int, Ge(1)]
Rate = Annotated[float, Interval(ge=0, lt=1)]


class SingleStepLSTM(nn.LSTM):
    """An LSTM layer for one step from the zero state: an affine map and gates, (B, C) -> (B, H).

    With h = c = 0 the recurrent weights and the forget gate multiply zero: h' = o tanh(i g). So weight_hh, and the
    forget rows of weight_ih and of both biases, never receive a gradient. They remain because the state dict is that of
    nn.LSTM.
    """

    def forward(self, x_BC: Tensor) -> Tensor:  # type: ignore[override]
        weight_ih, _, bias_ih, bias_hh = self._flat_weights
        assert weight_ih is not None and bias_ih is not None and bias_hh is not None
        gates_BG = linear(x_BC, weight_ih, bias_ih + bias_hh)
        input_BH, _, cell_BH, output_BH = gates_BG.chunk(4, dim=1)
        return output_BH.sigmoid() * (input_BH.sigmoid() * cell_BH.tanh()).tanh()


class BatchNorm(nn.BatchNorm1d):
    """Batch norm over rows and steps, (..., C). A single training row uses the running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        rows_RC = input.flatten(0, -2)
        if self.training and len(rows_RC) > 1:
            return super().forward(rows_RC).view_as(input)
        rows_RC = batch_norm(rows_RC, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return rows_RC.view_as(input)


class BinaryLSTM(nn.Module):
    """Stacked LSTMs and linear layers: steps of vectors (B, T, width) -> logits (B, outputs).

    LSTM, norm and dropout, three times. The first LSTM reads the bits and passes on its last output; the second and the
    third read that one vector. Then linear layers with ReLU, norm and dropout (the order of the published code; its
    diagram has the norm first), and a linear head.

    Layers that see one step from the zero state never use their recurrent weights and forget gates. At the default
    sizes, 1,476,096 of 2,120,815 parameters never receive a gradient.

    Args:
        spec: input and output types.
        hidden_dims: widths of the LSTMs.
        head_dims: widths of the linear layers before the head.
        dropout: dropout after each LSTM and each linear layer but the last.
        last_dropout: dropout after the last linear layer.
        stacking: `last`: later layers see only the last output of the first. `sequence`: every layer sees all steps.
        norm: `layer` or `batch`.

    Raises:
        ValueError: the Spec does not ask for one answer, or hidden_dims or head_dims is empty.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        hidden_dims: tuple[Size, ...] = (128, 256, 512),
        head_dims: tuple[Size, ...] = (128, 100),
        dropout: Rate = 0.3,
        last_dropout: Rate = 0.4,
        stacking: Literal["last", "sequence"] = "last",
        norm: Literal["layer", "batch"] = "layer",
    ):
        super().__init__()
        if not hidden_dims or not head_dims:
            raise ValueError(f"hidden_dims={hidden_dims} and head_dims={head_dims} need at least one width each")
        self.stacking = stacking
        make_norm = nn.LayerNorm if norm == "layer" else BatchNorm
        later_lstm = SingleStepLSTM if stacking == "last" else nn.LSTM
        widths = (input_width("binary_lstm", spec), *hidden_dims)
        self.lstms = nn.ModuleList(
            (later_lstm if index else nn.LSTM)(width, hidden, batch_first=True)
            for index, (width, hidden) in enumerate(zip(widths, hidden_dims, strict=False))
        )
        self.norms = nn.ModuleList(make_norm(hidden) for hidden in hidden_dims)
        self.dropout = nn.Dropout(dropout)
        layers: list[nn.Module] = []
        for width, hidden in zip((hidden_dims[-1], *head_dims), head_dims, strict=False):
            layers += [nn.Linear(width, hidden), nn.ReLU(), make_norm(hidden), nn.Dropout(dropout)]
        layers[-1] = nn.Dropout(last_dropout)
        self.head = nn.Sequential(*layers, nn.Linear(head_dims[-1], spec.output.width))

    def forward(self, x_BTC: Tensor) -> Tensor:
        outputs = self.lstms[0](x_BTC)[0]
        if self.stacking == "last":
            outputs = outputs[:, -1]
        outputs = self.dropout(self.norms[0](outputs))
        for lstm, norm in zip(self.lstms[1:], self.norms[1:], strict=True):
            outputs = lstm(outputs)
            outputs = self.dropout(norm(outputs[0] if self.stacking == "sequence" else outputs))
        if self.stacking == "sequence":
            outputs = outputs[:, -1]
        return self.head(outputs)


def unreachable(model: BinaryLSTM) -> dict[str, Tensor]:
    """{parameter name: mask of the entries that never receive a gradient}, for stacking=last."""
    masks = {}
    for name, parameter in model.named_parameters():
        kind, _, rest = name.partition(".")
        index, _, weight = rest.partition(".")
        if kind == "lstms" and index != "0" and model.stacking == "last":
            hidden = parameter.shape[0] // 4
            masks[name] = torch.zeros_like(parameter, dtype=torch.bool)
            masks[name][slice(None) if weight == "weight_hh_l0" else slice(hidden, 2 * hidden)] = True
    return masks
