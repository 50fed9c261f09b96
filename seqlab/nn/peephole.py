"""An LSTM layer with peephole connections (Gers & Schmidhuber 2000), as a loop over steps in plain torch."""

import torch
from torch import Tensor, nn

# B batch, T time, C input width, H hidden


class PeepholeLSTM(nn.Module):
    """One peephole LSTM layer with the interface and parameter names of a one-layer nn.LSTM with batch_first.

    The input and forget gates see c(t-1), the output gate sees c(t), each through one weight per unit (a diagonal
    matrix). There is no fused kernel: each step needs several calls, and a layer takes many times as long as nn.LSTM.

    Args:
        input_size: width C of the inputs.
        hidden_size: width H.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        self.peephole_l0 = nn.Parameter(torch.empty(3 * hidden_size))  # input, forget and output gate
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)  # like nn.LSTM

    def forward(self, x_BTC: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Returns outputs (B, T, H) and the last hidden and cell state, (1, B, H) each."""
        hidden_BH, cell_BH = state[0][0], state[1][0]
        to_input_H, to_forget_H, to_output_H = self.peephole_l0.chunk(3)
        inputs = nn.functional.linear(x_BTC, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        outputs = []
        for input_BG in inputs.unbind(1):
            i, f, g, o = torch.addmm(input_BG, hidden_BH, self.weight_hh_l0.T).chunk(4, dim=1)
            i, f = torch.sigmoid(i + to_input_H * cell_BH), torch.sigmoid(f + to_forget_H * cell_BH)
            cell_BH = f * cell_BH + i * torch.tanh(g)
            hidden_BH = torch.sigmoid(o + to_output_H * cell_BH) * torch.tanh(cell_BH)
            outputs.append(hidden_BH)
        return torch.stack(outputs, 1), (hidden_BH.unsqueeze(0), cell_BH.unsqueeze(0))
