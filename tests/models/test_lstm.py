"""The LSTM against its equations and against nn.LSTM with copied weights."""

import pytest
import torch
from torch import nn

from seqlab.model import num_parameters
from seqlab.models.lstm import LSTM
from tests.small_models import token_spec, vector_spec

BACKENDS = ["torch", "auto"]
SIZES = {"d_model": 8, "hidden_dim": 12, "num_layers": 3}


def plain_lstm(x, parameters, num_layers, hidden, cell):
    """Hochreiter & Schmidhuber's equations with a forget gate, step by step and layer by layer.

    x (batch, time, width); hidden and cell (layers, batch, width). Outputs of the last layer and the final states.
    """
    hidden, cell, outputs = list(hidden), list(cell), []
    for time in range(x.shape[1]):
        below = x[:, time]
        for layer in range(num_layers):
            w_x, w_h, b_x, b_h = parameters[4 * layer : 4 * layer + 4]
            i, f, g, o = (below @ w_x.T + b_x + hidden[layer] @ w_h.T + b_h).chunk(4, dim=1)
            cell[layer] = torch.sigmoid(f) * cell[layer] + torch.sigmoid(i) * torch.tanh(g)
            hidden[layer] = below = torch.sigmoid(o) * torch.tanh(cell[layer])
        outputs.append(below)
    return torch.stack(outputs, 1), torch.stack(hidden), torch.stack(cell)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LSTM(token_spec(), **SIZES).double().eval()


@pytest.fixture
def tokens():
    return torch.randint(7, (3, 9), generator=torch.Generator().manual_seed(1))


def test_equals_the_equations_in_values_and_gradients(model, tokens):
    parameters = list(model.lstm.parameters())
    start = torch.zeros(3, 3, 12, dtype=torch.float64)
    output, _, _ = plain_lstm(model.embedding.weight[tokens], parameters, 3, start, start)
    expected = output @ model.head.weight.T + model.head.bias
    logits = model(tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)
    weights = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    everything = list(model.parameters())
    ours = torch.autograd.grad((logits * weights).sum(), everything)
    theirs = torch.autograd.grad((expected * weights).sum(), everything)
    for gradient, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-8, atol=1e-10)


def torch_lstm(model):
    reference = nn.LSTM(8, 12, 3, batch_first=True).double()
    reference.load_state_dict(model.lstm.state_dict())
    return reference


def test_equals_torch_over_a_sequence_and_in_its_state(model, tokens):
    output, (hidden, cell) = torch_lstm(model)(model.embedding(tokens))
    logits, state = model.prefill(tokens, model.init_state(3))
    torch.testing.assert_close(logits, model.head(output), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.hidden_BLH, hidden.transpose(0, 1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.cell_BLH, cell.transpose(0, 1), rtol=1e-10, atol=1e-12)


def test_equals_torch_step_by_step(model, tokens):
    reference, theirs, ours = torch_lstm(model), None, model.init_state(3)
    for time in range(9):
        output, theirs = reference(model.embedding(tokens[:, time : time + 1]), theirs)
        logits, ours = model.step(tokens[:, time], ours)
        torch.testing.assert_close(logits, model.head(output[:, 0]), rtol=1e-10, atol=1e-12)


def test_vectors_come_in_through_a_linear_map():
    torch.manual_seed(0)
    model = LSTM(vector_spec(), **SIZES).eval()
    x = torch.randn(2, 9, 3)
    weight, bias = model.embedding.parameters()
    output, _ = model.lstm(x @ weight.T + bias)
    torch.testing.assert_close(model(x), model.head(output), rtol=1e-5, atol=1e-6)


def test_dropout_acts_on_the_output_and_leaves_the_state_alone(tokens):
    """With the identity as head, each output is 0 or its undropped value over 1 - p."""
    torch.manual_seed(0)
    model = LSTM(token_spec(), d_model=8, hidden_dim=7, num_layers=2, dropout=0.25)
    with torch.no_grad():
        model.head.weight.copy_(torch.eye(7))
        model.head.bias.zero_()
    dropped, state = model.train().prefill(tokens, model.init_state(3))
    plain, plain_state = model.eval().prefill(tokens, model.init_state(3))
    zero = dropped == 0
    assert 0 < zero.double().mean() < 0.5
    torch.testing.assert_close(dropped[~zero], plain[~zero] / 0.75, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state, plain_state, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_acts_on_the_output_of_whole_sequences(tokens, backend):
    torch.manual_seed(0)
    model = LSTM(token_spec(), d_model=8, hidden_dim=7, num_layers=2, dropout=0.25, backend=backend)
    with torch.no_grad():
        model.head.weight.copy_(torch.eye(7))
        model.head.bias.zero_()
    dropped, plain = model.train()(tokens), model.eval()(tokens)
    zero = dropped == 0
    assert 0 < zero.double().mean() < 0.5
    torch.testing.assert_close(dropped[~zero], plain[~zero] / 0.75, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_input_dropout_acts_on_the_embedded_input(backend):
    """A dropped element of a token's vector gets no gradient; each token is read once."""
    torch.manual_seed(0)
    options = {"d_model": 64, "hidden_dim": 8, "num_layers": 1, "dropout": 0.0, "input_dropout": 0.5}
    model = LSTM(token_spec(), **options, backend=backend)
    tokens = torch.arange(7).unsqueeze(0)
    model(tokens)[:, -1].sum().backward()
    assert 0.4 < (model.embedding.weight.grad == 0).float().mean() < 0.6
    model.zero_grad()
    model.eval()(tokens)[:, -1].sum().backward()
    assert (model.embedding.weight.grad != 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_layer_dropout_acts_between_layers(tokens, cell, backend):
    torch.manual_seed(0)
    model = LSTM(token_spec(), **SIZES, dropout=0.0, layer_dropout=0.5, cell=cell, backend=backend)
    assert not torch.allclose(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_a_tied_head_is_the_embedding():
    spec = token_spec()
    model = LSTM(spec, d_model=12, hidden_dim=12, num_layers=1, tied=True, embedding_range=0.1)
    assert model.head.weight is model.embedding.weight
    assert model.embedding.weight.abs().max() <= 0.1
    model(torch.tensor([[3]]))[0, 0, 4].backward()
    touched = model.embedding.weight.grad.abs().sum(1) > 0
    assert touched.nonzero().flatten().tolist() == [3, 4]  # as the input, and as the output
    untied = LSTM(spec, d_model=12, hidden_dim=12, num_layers=1)
    assert num_parameters(untied) - num_parameters(model) == 7 * 12


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (token_spec(), {"tied": True, "d_model": 8, "hidden_dim": 12}, r"has \(7, 8\), the head \(7, 12\)"),
        (vector_spec(), {"tied": True}, "need tokens with learned embeddings"),
        (vector_spec(), {"embedding_range": 0.1}, "need tokens with learned embeddings"),
    ],
)
def test_refuses_to_tie_what_does_not_fit(spec, options, message):
    with pytest.raises(ValueError, match=message):
        LSTM(spec, **options)


def test_refuses_layer_dropout_with_one_layer():
    with pytest.raises(ValueError, match=r"layer_dropout=0\.5 acts between layers: num_layers must be above 1"):
        LSTM(token_spec(), d_model=8, hidden_dim=12, num_layers=1, layer_dropout=0.5)
