"""Models of LSTM or GRU layers with the native kernels against torch's: training, types, dropout, fallbacks."""

import copy

import pytest
import torch
from torch import nn

from seqlab.export.quantize import quantize
from seqlab.models.deep_lstm import DeepLSTM
from seqlab.models.lstm import LSTM
from seqlab.nn.native.lstm import layer
from seqlab.nn.native.time_major import time_major
from tests.native import needs_native
from tests.nn.test_native_recurrent import MIXED, SMALL, errors
from tests.small_models import lively, token_spec, vector_spec

GRU = (LSTM, {"hidden_dim": 19, "dropout": 0.0, "cell": "gru"})
LSTMS = [
    (LSTM, {"hidden_dim": 19, "dropout": 0.0}),
    (DeepLSTM, {"dropout": 0.0}),
    (DeepLSTM, {"dropout": 0.0, "skip_every": 0, "layer_norm": False}),
]
MODELS = [*LSTMS, GRU]


def pair(kind, options, spec=None, **more):
    """The same model with both backends."""
    models = []
    for backend in ("torch", "native"):
        torch.manual_seed(0)
        models.append(kind(spec or token_spec(40), **SMALL | options | more, backend=backend))
    assert list(models[0].state_dict()) == list(models[1].state_dict())
    return models


def losses_of_twenty_steps(models, lr):
    """Train each model on the same packed rows: [[loss of each step] of each model]."""
    torch.manual_seed(2)
    batches = [(torch.randint(7, (10, 40)), torch.randint(1, 41, (10,))) for _ in range(20)]
    losses = []
    for model in models:
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
        losses.append([])
        for tokens, lengths in batches:
            targets = torch.cat([row[:length] for row, length in zip(tokens + 1, lengths, strict=True)]) % 7
            loss = nn.functional.cross_entropy(model.packed(tokens, lengths), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    return losses


def packed_and_gradients(model, inputs, lengths):
    logits = model.packed(inputs, lengths)
    weights = torch.linspace(-1, 1, logits.numel()).view_as(logits)
    return [logits.detach(), *torch.autograd.grad((logits * weights).sum(), list(model.parameters()))]


@needs_native
@pytest.mark.parametrize(("kind", "options"), MODELS)
@pytest.mark.parametrize("spec", [token_spec(40), vector_spec(40)], ids=["tokens", "vectors"])
def test_models_are_as_near_to_float64_as_with_torch(kind, options, spec):
    plain, native = pair(kind, options, spec)
    torch.manual_seed(1)
    lengths = torch.tensor(MIXED)
    inputs = torch.randint(7, (10, 40)) if spec == token_spec(40) else torch.randn(10, 40, 3)
    doubles = inputs.double() if inputs.is_floating_point() else inputs
    exact = packed_and_gradients(copy.deepcopy(plain).double(), doubles, lengths)
    ours, theirs = (packed_and_gradients(model, inputs, lengths) for model in (native, plain))
    assert max(errors(ours, theirs)) < 1e-4
    for our_error, their_error in zip(errors(ours, exact), errors(theirs, exact), strict=True):
        assert our_error < 3 * their_error + 3e-6
    torch.testing.assert_close(native(inputs), plain(inputs), rtol=1e-5, atol=1e-6)


@needs_native
@pytest.mark.parametrize(("kind", "options"), MODELS)
def test_twenty_steps_of_training_are_the_same_to_rounding(kind, options):
    models = pair(kind, options)
    losses = losses_of_twenty_steps(models, lr=1e-2)
    assert losses[0][-1] < 0.95 * losses[0][0]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
    assert max(errors(models[1].state_dict().values(), models[0].state_dict().values())) < 1e-4


@needs_native
@pytest.mark.parametrize(("kind", "options"), LSTMS)
def test_under_bfloat16_autocast(kind, options):
    """As near to float32 as nn.LSTM is; the result has the type that nn.LSTM gives, gradients that of the weights."""
    plain, native = pair(kind, options, hidden_dim=64) if kind is LSTM else pair(kind, options, d_model=64)
    tokens, lengths = torch.randint(7, (10, 40)), torch.tensor(MIXED)
    exact = packed_and_gradients(plain, tokens, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        results = [packed_and_gradients(model, tokens, lengths) for model in (native, plain)]
    assert all(one.dtype == other.dtype for one, other in zip(*results, strict=True))
    ours, theirs = (torch.tensor(errors(result, exact)) for result in results)
    assert 1e-4 < ours.mean() < 1.2 * theirs.mean() and ours.max() < 1.5 * theirs.max()


@needs_native
def test_the_gru_is_torchs_under_bfloat16_autocast():
    plain, native = pair(*GRU)
    tokens, lengths = torch.randint(7, (10, 40)), torch.tensor(MIXED)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = (packed_and_gradients(model, tokens, lengths) for model in (native, plain))
    assert all(map(torch.equal, ours, theirs))


@needs_native
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_sequence_in_two_parts_and_step_by_step_is_the_whole(cell):
    """`forward` reads with the kernels, `prefill` and `step` with torch's layers."""
    _, model = pair(LSTM, {"hidden_dim": 19, "cell": cell})
    model, tokens = lively(model).eval(), torch.randint(7, (3, 9))
    whole = model(tokens)
    logits, state = model.prefill(tokens[:, :4], model.init_state(3))
    torch.testing.assert_close(logits, whole[:, :4], rtol=1e-5, atol=1e-5)
    for time in range(4, 9):
        logits, state = model.step(tokens[:, time], state)
        torch.testing.assert_close(logits, whole[:, time], rtol=1e-5, atol=1e-5)


@needs_native
def test_cells_stay_in_float32_under_autocast():
    """A cell that adds 0.001 a step: in bfloat16 it would stop growing at 0.25."""
    lstm = nn.LSTM(1, 1, batch_first=True)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.bias_ih_l0[:] = torch.tensor([20.0, 20.0, 0.001, 20.0])
    order = time_major(torch.tensor([400]))
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.zeros(400, 1), lstm, order)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out[-1].item(), torch.tensor(0.4).tanh().item(), rtol=1e-2, atol=0)


@needs_native
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_dropout_follows_torchs_generator_and_is_off_in_evaluation(cell):
    options = {"d_model": 8, "hidden_dim": 12, "num_layers": 2, "layer_dropout": 0.3, "dropout": 0.3, "cell": cell}
    model = LSTM(token_spec(), **options, backend="native")
    tokens, drawn = torch.randint(7, (3, 9)), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model(tokens))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    plain = LSTM(token_spec(), **options, backend="torch")
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        means = [torch.stack([one(tokens) for _ in range(500)]).mean(0) for one in (model, plain)]
    torch.testing.assert_close(*means, rtol=0, atol=0.03)  # one distribution
    torch.testing.assert_close(model.eval()(tokens), plain.eval()(tokens))


@pytest.mark.parametrize(("kind", "options"), LSTMS)
def test_quantised_layers_are_used(kind, options):
    plain, native = (quantize(model.eval()) for model in pair(kind, options, dropout=0.5))
    tokens = torch.randint(7, (3, 9))
    assert torch.equal(native(tokens), plain(tokens))
    lengths = torch.tensor([9, 2, 5])
    assert torch.equal(native.packed(tokens, lengths), plain.packed(tokens, lengths))


@pytest.mark.parametrize(("kind", "options"), MODELS)
def test_what_the_kernels_do_not_compute_is_torchs(kind, options):
    plain, native = pair(kind, options)
    tokens = torch.randint(7, (3, 9))
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(native(tokens), plain(tokens))
    assert torch.equal(native.double()(tokens), plain.double()(tokens))
    with pytest.raises(ValueError, match="backend=native computes on a CPU, and the model is on meta"):
        native.float().to("meta")(tokens.to("meta"))


def test_peepholes_are_torchs():
    plain, native = pair(DeepLSTM, {"dropout": 0.0, "peepholes": True})
    tokens = torch.randint(7, (3, 9))
    assert torch.equal(native(tokens), plain(tokens))
