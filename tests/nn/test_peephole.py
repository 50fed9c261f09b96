"""The peephole layer against a loop over gates and against nn.LSTM."""

import torch
from torch import nn

from seqlab.nn.peephole import PeepholeLSTM
from tests.reference.deep_lstm import layer_outputs


def layer_and_inputs():
    torch.manual_seed(0)
    return PeepholeLSTM(3, 5).double(), torch.randn(2, 7, 3, dtype=torch.float64)


def start(batch, size):
    zeros = torch.zeros(1, batch, size, dtype=torch.float64)
    return zeros, zeros


def test_equals_the_equations_in_values_and_gradients():
    layer, x = layer_and_inputs()
    parameters = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0]
    expected = layer_outputs(x, parameters, layer.peephole_l0.chunk(3))
    outputs, (hidden, _) = layer(x, start(2, 5))
    torch.testing.assert_close(outputs, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(hidden[0], expected[:, -1], rtol=1e-10, atol=1e-12)
    everything = list(layer.parameters())
    ours, theirs = (torch.autograd.grad(out.square().sum(), everything) for out in (outputs, expected))
    for gradient, reference in zip(ours, theirs, strict=True):
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gradient, reference, rtol=1e-8, atol=1e-10)


def test_without_its_peepholes_it_is_nn_lstm():
    layer, x = layer_and_inputs()
    with torch.no_grad():
        layer.peephole_l0.zero_()
    reference = nn.LSTM(3, 5, batch_first=True).double()
    reference.load_state_dict({name: value for name, value in layer.state_dict().items() if name != "peephole_l0"})
    outputs, state = layer(x, start(2, 5))
    torch.testing.assert_close((outputs, state), reference(x), rtol=1e-10, atol=1e-12)
