"""The GRU and the plain RNN in the place of the LSTM, against their equations."""

import logging

import pytest
import torch

from seqlab.models.lstm import LSTM, RNNState
from seqlab.nn.native import choice
from tests.native import needs_native
from tests.small_models import small_model, token_spec

SIZES = {"d_model": 8, "hidden_dim": 12, "num_layers": 2}


def gru(x, hidden, w_x, w_h, b_x, b_h):
    """Cho et al. 2014, with the reset gate behind the recurrent product, as in nn.GRU."""
    reset_x, update_x, new_x = (x @ w_x.T + b_x).chunk(3, 1)
    reset_h, update_h, new_h = (hidden @ w_h.T + b_h).chunk(3, 1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (1 - update) * new + update * hidden


def rnn(x, hidden, w_x, w_h, b_x, b_h):
    """Elman 1990."""
    return torch.tanh(x @ w_x.T + b_x + hidden @ w_h.T + b_h)


CELLS = {"gru": gru, "rnn": rnn}


def plainly(model, tokens, cell):
    parameters, layers = list(model.lstm.parameters()), SIZES["num_layers"]
    hidden = [torch.zeros(len(tokens), SIZES["hidden_dim"], dtype=torch.float64) for _ in range(layers)]
    outputs = []
    for inputs in model.embedding.weight[tokens].unbind(1):
        for layer in range(layers):
            inputs = hidden[layer] = cell(inputs, hidden[layer], *parameters[4 * layer : 4 * layer + 4])
        outputs.append(inputs)
    return torch.stack(outputs, 1) @ model.head.weight.T + model.head.bias, torch.stack(hidden, 1)


@pytest.mark.parametrize("name", CELLS)
def test_equals_its_equations_in_values_gradients_and_state(name):
    torch.manual_seed(0)
    model, tokens = LSTM(token_spec(), **SIZES, cell=name).double().eval(), torch.randint(7, (3, 9))
    expected, hidden = plainly(model, tokens, CELLS[name])
    logits, state = model.prefill(tokens, model.init_state(3))
    assert isinstance(state, RNNState)
    torch.testing.assert_close(model(tokens), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.hidden_BLH, hidden, rtol=1e-10, atol=1e-12)
    weights, parameters = torch.randn_like(expected), list(model.parameters())
    ours, theirs = (torch.autograd.grad((each * weights).sum(), parameters) for each in (model(tokens), expected))
    for gradient, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_dropout_and_ties_are_those_of_the_lstm(name):
    torch.manual_seed(0)
    options = {"d_model": 12, "layer_dropout": 0.5, "tied": True, "embedding_range": 0.1}
    model, tokens = LSTM(token_spec(), **SIZES | options, cell=name), torch.randint(7, (3, 9))
    assert model.head.weight is model.embedding.weight and model.lstm.dropout == 0.5
    assert not torch.equal(model(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))


@pytest.mark.parametrize("name", CELLS)
def test_reads_under_bfloat16_autocast(name):
    torch.manual_seed(0)
    model, tokens = LSTM(token_spec(), **SIZES, cell=name).eval(), torch.randint(7, (3, 9))
    expected = model(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(tokens)
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.05)


@pytest.fixture
def fresh_choice():
    """No choice remembered, before and after."""
    choice.chosen_backend.cache_clear()
    yield
    choice.chosen_backend.cache_clear()


@pytest.mark.parametrize(("backend", "level"), [("auto", logging.INFO), ("native", logging.WARNING)])
@pytest.mark.parametrize(
    ("cell", "in_bfloat16", "missing"),
    [("rnn", False, "cell=rnn"), ("rnn", True, "cell=rnn"), ("gru", True, "cell=gru in bfloat16")],
)
def test_what_has_no_kernel_is_torchs_and_the_log_says_so_once(
    fresh_choice, caplog, backend, level, cell, in_bfloat16, missing
):
    before = choice.chosen_backend("a model with kernels", "auto", "cpu", "")
    model = small_model("lstm", token_spec(), cell=cell, backend=backend)
    with caplog.at_level(logging.INFO, "seqlab.nn"), torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
        for _ in range(2):
            model(torch.zeros(2, 3, dtype=torch.long))
    (record,) = caplog.records
    assert record.levelno == level and record.getMessage() == (
        f"{cell} on cpu: backend={backend} takes torch; there is no native kernel for {missing}"
    )
    assert choice.last_choice() == before  # of kernels, which another machine might have


@needs_native
def test_the_gru_has_a_kernel_in_float32_beside_torch_in_bfloat16(fresh_choice, caplog):
    model = small_model("lstm", token_spec(), cell="gru")
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        for in_bfloat16 in (True, False, True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
                model(torch.zeros(2, 3, dtype=torch.long))
    assert caplog.messages == [
        "gru on cpu: backend=auto takes torch; there is no native kernel for cell=gru in bfloat16",
        "gru on cpu: backend=auto takes native",
    ]
    assert choice.last_choice() == "native"
