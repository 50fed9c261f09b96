"""The deep LSTM against its equations, and how its gates start."""

import math

import pytest
import torch
from torch import nn

from seqlab.models.deep_lstm import DeepLSTM
from tests.reference.deep_lstm import stack_outputs
from tests.small_models import token_spec, vector_spec

PEEPHOLES = [False, True]


def built(**options):
    torch.manual_seed(0)
    return DeepLSTM(vector_spec(max_length=options.pop("max_length", 9)), **{"d_model": 8, **options}).double().eval()


def gates(layer):
    """The sum of both bias vectors, for gates i, f, g, o."""
    return (layer.bias_ih_l0 + layer.bias_hh_l0).detach().chunk(4)


@pytest.mark.parametrize("options", [{}, {"skip_every": 0}, {"layer_norm": False}, {"skip_every": 3, "num_layers": 4}])
def test_equals_the_equations_in_values_and_gradients(options):
    model = built(**{"num_layers": 5, **options})
    with torch.no_grad():
        for norm in model.norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-1, 1)
    x = torch.randn(3, 9, 3, dtype=torch.float64)
    weight, bias = model.embedding.parameters()
    layers = [list(layer.parameters()) for layer in model.layers]
    norms = [(norm.weight, norm.bias) for norm in model.norms]
    stack = stack_outputs(x @ weight.T + bias, layers, norms, model.skip_every)
    expected, logits = model.head(stack), model(x)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)
    parameters = list(model.parameters())
    ours, theirs = (torch.autograd.grad(out.square().sum(), parameters) for out in (logits, expected))
    for gradient, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-8, atol=1e-10)


def test_the_layers_are_the_fused_ones_with_a_norm_between_two():
    model = built()
    assert [type(layer) for layer in model.layers] == [nn.LSTM] * 5
    assert all(layer.num_layers == 1 for layer in model.layers)
    assert [norm.eps for norm in model.norms] == [1e-5] * 4
    assert len(built(layer_norm=False).norms) == 0
    assert len(built(num_layers=1).norms) == 0


@pytest.mark.parametrize("peepholes", PEEPHOLES)
@pytest.mark.parametrize("num_layers", [1, 3, 5])
def test_the_forget_gate_starts_with_bias_1_on_every_layer(num_layers, peepholes):
    model = built(num_layers=num_layers, peepholes=peepholes)
    assert len(model.layers) == num_layers
    for layer in model.layers:
        i, f, g, o = gates(layer)
        assert (f == 1).all()
        assert not torch.stack([i, g, o]).any()


def test_a_cell_that_reads_nothing_keeps_sigmoid_of_1():
    """Whatever the order of the gates in memory: this is the gate that forgets."""
    model = built(num_layers=3)
    with torch.no_grad():
        for layer in model.layers:
            layer.weight_ih_l0.zero_()
            layer.weight_hh_l0.zero_()
    state = model.init_state(2)
    state.cell_BLH.fill_(1.0)
    _, state = model.prefill(torch.randn(2, 4, 3, dtype=torch.float64), state)
    kept = (1 / (1 + math.exp(-1))) ** 4
    torch.testing.assert_close(state.cell_BLH, torch.full_like(state.cell_BLH, kept))


def test_chrono_spreads_the_memories_over_the_length():
    model = built(d_model=512, num_layers=2, max_length=101, bias_init="chrono")
    for layer in model.layers:
        i, f, g, o = gates(layer)
        memory = f.exp()  # uniform in 1 .. 100
        assert memory.min() >= 1 and memory.max() <= 100
        assert memory.mean() == pytest.approx(50.5, abs=5)
        assert memory.std() == pytest.approx(99 / 12**0.5, abs=3)
        assert torch.equal(i, -f)
        assert not torch.stack([g, o]).any()
    assert not torch.equal(gates(model.layers[0])[1], gates(model.layers[1])[1])


def test_chrono_needs_a_length():
    with pytest.raises(ValueError, match=r"bias_init=chrono needs sequences of 3 steps or more, not 2"):
        built(max_length=2, bias_init="chrono")


def test_a_skip_connection_over_more_layers_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"skip_every=6 with num_layers=5; allowed: 0 to 5"):
        built(num_layers=5, skip_every=6)
    built(num_layers=1)  # the default fits any depth


def test_torch_leaves_weights_and_biases_as_nn_lstm_starts():
    model = built(bias_init="torch", weight_init="torch")
    for layer in model.layers:
        for parameter in layer.parameters():
            assert 0.5 < parameter.abs().max() * 8**0.5 <= 1
            assert parameter.unique().numel() == parameter.numel()


@pytest.mark.parametrize("peepholes", PEEPHOLES)
def test_weights_start_orthogonal_and_after_glorot_gate_by_gate(peepholes):
    for layer in built(d_model=16, peepholes=peepholes).layers:
        for gate in layer.weight_hh_l0.detach().chunk(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-6)
        for gate in layer.weight_ih_l0.detach().chunk(4):
            assert 0.8 < gate.abs().max() / (6 / 32) ** 0.5 <= 1


def test_a_skip_connection_spans_two_layers_and_is_scaled():
    """Layers that say nothing: after four of them the input has passed two skips, each over sqrt(2)."""
    model = built(num_layers=4, layer_norm=False, bias_init="torch")
    seen = []
    model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for parameter in model.layers.parameters():
            parameter.zero_()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    model(x)
    torch.testing.assert_close(seen[0], model.embedding(x) / 2)


def test_dropout_acts_on_outputs_and_never_on_the_recurrence():
    model = built(num_layers=2, dropout=0.5, skip_every=0)
    seen = []
    model.layers[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.randn(3, 9, 3, dtype=torch.float64)
    _, plain = model.prefill(x, model.init_state(3))
    model.norms = nn.ModuleList()
    model.train()
    _, dropped = model.prefill(x, model.init_state(3))
    assert torch.equal(plain.hidden_BLH[:, 0], dropped.hidden_BLH[:, 0])  # the first layer's own state is whole
    assert torch.equal(plain.cell_BLH[:, 0], dropped.cell_BLH[:, 0])
    assert not torch.equal(plain.cell_BLH[:, 1], dropped.cell_BLH[:, 1])  # the second reads what is left of its output
    assert 0.3 < (seen[1] == 0).double().mean() < 0.7


def test_chrono_takes_the_length_of_the_task():
    torch.manual_seed(0)
    model = DeepLSTM(token_spec(max_length=9), bias_init="chrono")
    longest = max(float(gates(layer)[1].exp().max()) for layer in model.layers)
    assert 7 < longest <= 8
