"""Mamba 2 against transformers with the same weights; its state, initial values and options."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from seqlab.contract.measure import random_inputs
from seqlab.model import num_parameters
from seqlab.models.mamba2 import Mamba2
from tests.small_models import small_model, token_spec

SIZES = {"d_model": 16, "num_layers": 2, "num_heads": 4, "d_state": 5}


def model_of(**options):
    torch.manual_seed(0)
    model = Mamba2(token_spec(), **SIZES | options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "embedding" in name:
                parameter.mul_(50)
    return model.eval()


@pytest.fixture
def tokens():
    return random_inputs(token_spec(), 3, 9)


def weighted_sum(logits):
    return (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))).sum()


@pytest.mark.parametrize("d_conv", [2, 4])
def test_equals_transformers_in_logits_and_gradients(tokens, d_conv):
    transformers = pytest.importorskip("transformers", reason="extra `reference`: transformers")
    model = model_of(d_conv=d_conv)
    config = transformers.Mamba2Config(
        vocab_size=7, hidden_size=16, state_size=5, num_hidden_layers=2, conv_kernel=d_conv, expand=2, num_heads=4,
        head_dim=8, n_groups=1, layer_norm_epsilon=1e-5, use_cache=False, tie_word_embeddings=False, chunk_size=4,
    )  # fmt: skip
    theirs = transformers.Mamba2ForCausalLM(config).eval()
    state = {name.replace(".embedding.", ".embeddings."): tensor for name, tensor in model.state_dict().items()}
    theirs.load_state_dict(state, strict=True)
    logits, expected = model(tokens), theirs(tokens).logits
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    weighted_sum(logits).backward()
    weighted_sum(expected).backward()
    gradients = {name.replace("embeddings", "embedding"): p.grad for name, p in theirs.named_parameters()}
    for name, parameter in model.named_parameters():
        error = (parameter.grad - gradients[name]).norm() / gradients[name].norm()
        assert error < 1e-4, name


@pytest.mark.parametrize("d_conv", [1, 2, 4])
def test_chunks_shorter_than_the_convolution_equal_the_whole(tokens, d_conv):
    model = model_of(d_conv=d_conv).double()
    whole = model(tokens)
    for size in (1, 2, 5):
        state, parts = model.init_state(3), []
        for chunk in tokens.split(size, dim=1):
            logits, state = model.prefill(chunk, state)
            parts.append(logits)
        torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-9, atol=1e-10)


def test_signed_eigenvalues_have_the_same_parameters_and_other_outputs(tokens):
    positive, signed = model_of(), model_of(eigenvalues="signed")
    signed.load_state_dict(positive.state_dict())
    assert (signed(tokens) - positive(tokens)).abs().amax() > 1e-3


def test_signed_decays_turn_a_state_round(tokens):
    """With long steps and a first state, one layer's state becomes its negative: its decay is -1."""
    model = model_of(eigenvalues="signed", num_layers=1)
    mixer = model.backbone.layers[0].mixer
    with torch.no_grad():
        mixer.dt_bias.fill_(1000.0)
        mixer.conv1d.weight.zero_()
        mixer.conv1d.bias.zero_()  # nothing enters
    before = model.init_state(3)
    before = before._replace(heads_BLHPN=torch.ones_like(before.heads_BLHPN))
    _, after = model.step(tokens[:, 0], before)
    torch.testing.assert_close(after.heads_BLHPN, -before.heads_BLHPN)


def test_in_bfloat16_the_state_stays_in_float32(tokens):
    model = model_of()
    expected, model = model(tokens), model.bfloat16()
    logits, state = model.prefill(tokens, model.init_state(3))
    assert logits.dtype == state.conv_BLKE.dtype == torch.bfloat16 and state.heads_BLHPN.dtype == torch.float32
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1 * expected.std().item())


def test_initial_values_of_mamba_ssm():
    torch.manual_seed(0)
    mixer = Mamba2(token_spec(), d_model=64, num_layers=1, num_heads=128).backbone.layers[0].mixer
    rates, steps = mixer.A_log.exp(), softplus(mixer.dt_bias).log()
    assert 1 <= rates.min() < 2 and 15 < rates.max() <= 16 and (mixer.D == 1).all()
    low, high = math.log(1e-3), math.log(0.1)
    assert low - 1e-3 < steps.min() < low + 0.3 and high - 0.3 < steps.max() < high + 1e-3


def test_numbers_of_parameters():
    """A layer: its norm, the projections in and out, the convolution, three numbers a head, the gated norm."""
    layer = 16 + 16 * (2 * 32 + 2 * 5 + 4) + (32 + 10) * (4 + 1) + 3 * 4 + 32 + 32 * 16
    assert num_parameters(Mamba2(token_spec(), **SIZES)) == 2 * 7 * 16 + 2 * layer + 16


def test_the_yaml_gives_the_constructors_defaults():
    torch.manual_seed(0)
    ours = Mamba2(token_spec(), d_model=16, num_layers=2)
    state = small_model("mamba2", token_spec()).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())


def test_an_empty_batch_has_empty_outputs(tokens):
    assert model_of()(tokens[:0]).shape == (0, tokens.shape[1], 7)


def test_refuses_heads_that_do_not_divide():
    with pytest.raises(ValueError, match=r"num_heads=3 does not divide 32, the inner width; allowed: \[1, 2, 4, 8,"):
        Mamba2(token_spec(), **SIZES | {"num_heads": 3})
