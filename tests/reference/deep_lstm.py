"""The deep LSTM written out: loops over layers and steps, one gate at a time."""

import torch


def cell_step(x, hidden, cell, parameters, gate_peepholes=(0.0, 0.0, 0.0)):
    """One step of one layer: (batch, width) each; parameters in torch's order and layout."""
    w_x, w_h, b_x, b_h = parameters
    size = hidden.shape[1]
    part = {name: slice(k * size, (k + 1) * size) for k, name in enumerate("ifgo")}
    total = {name: x @ w_x[s].T + b_x[s] + hidden @ w_h[s].T + b_h[s] for name, s in part.items()}
    to_input, to_forget, to_output = gate_peepholes
    i = torch.sigmoid(total["i"] + to_input * cell)
    f = torch.sigmoid(total["f"] + to_forget * cell)
    cell = f * cell + i * torch.tanh(total["g"])
    o = torch.sigmoid(total["o"] + to_output * cell)
    return o * torch.tanh(cell), cell


def layer_outputs(x, parameters, gate_peepholes=(0.0, 0.0, 0.0)):
    """All steps of one layer from zero states: (batch, time, width)."""
    size = parameters[1].shape[1]
    hidden = cell = x.new_zeros(len(x), size)
    outputs = []
    for time in range(x.shape[1]):
        hidden, cell = cell_step(x[:, time], hidden, cell, parameters, gate_peepholes)
        outputs.append(hidden)
    return torch.stack(outputs, 1)


def stack_outputs(x, layers, norms, skip_every):
    """The whole stack, before its head; `norms` are (weight, bias) pairs between layers, or empty."""
    read = x
    for number, parameters in enumerate(layers, start=1):
        x = layer_outputs(x, parameters)
        if skip_every and number % skip_every == 0:
            x = (x + read) / 2**0.5
        if number <= len(norms):
            mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
            weight, bias = norms[number - 1]
            x = (x - mean) / (variance + 1e-5) ** 0.5 * weight + bias
        if skip_every and number % skip_every == 0:
            read = x
    return x
