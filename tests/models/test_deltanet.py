"""DeltaNet step by step as its equations say, its state, its initial values and its options."""

import pytest
import torch
from torch.nn.functional import silu

from seqlab.contract.measure import random_inputs
from seqlab.model import num_parameters
from seqlab.models.deltanet import DeltaNet
from tests.reference.delta import delta_rule
from tests.small_models import small_model, token_spec

SIZES = {"d_model": 8, "num_layers": 2, "num_heads": 2, "ff_dim": 12, "d_conv": 3}


@pytest.fixture
def tokens():
    return random_inputs(token_spec(), 3, 9)


def model_of(**options):
    torch.manual_seed(0)
    model = DeltaNet(token_spec(), **SIZES | options).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def rms_norm(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def plainly(model, tokens, most):
    """The architecture with a loop over steps for convolution and memory."""
    x = model.embedding.weight[tokens]
    batch, time, width = x.shape
    for layer in model.layers:
        mixer, inner = layer.mixer, rms_norm(x, layer.norm1.weight)
        projected = inner @ mixer.qkv.weight.T
        weight = mixer.conv1d.weight[:, 0]
        convolved = torch.zeros_like(projected)
        for t in range(time):
            for back in range(min(t + 1, SIZES["d_conv"])):
                convolved[:, t] = convolved[:, t] + weight[:, -1 - back] * projected[:, t - back]
        q, k, v = (part.view(batch, time, 2, -1) for part in silu(convolved).split(width, -1))
        q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
        beta = most / (1 + torch.exp(-inner @ mixer.beta.weight.T))
        y, _ = delta_rule(q, k, v, beta, x.new_zeros(batch, 2, width // 2, width // 2))
        x = x + rms_norm(y, mixer.norm.weight).reshape(batch, time, width) @ mixer.out.weight.T
        gate, value = (rms_norm(x, layer.norm2.weight) @ layer.feed_forward.linear1.weight.T).chunk(2, -1)
        x = x + (silu(gate) * value) @ layer.feed_forward.linear2.weight.T
    return rms_norm(x, model.norm.weight) @ model.head.weight.T


@pytest.mark.parametrize(("eigenvalues", "most"), [("positive", 1.0), ("signed", 2.0)])
def test_equals_its_equations_in_values_and_gradients(tokens, eigenvalues, most):
    model = model_of(eigenvalues=eigenvalues)
    logits, expected = model(tokens), plainly(model, tokens, most)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-10)
    weights = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    parameters = list(model.parameters())
    ours, theirs = (torch.autograd.grad((each * weights).sum(), parameters) for each in (logits, expected))
    for gradient, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-7, atol=1e-9)


def test_signed_eigenvalues_have_the_same_parameters_and_other_outputs(tokens):
    positive, signed = model_of(), model_of(eigenvalues="signed")
    signed.load_state_dict(positive.state_dict())
    assert (signed(tokens) - positive(tokens)).abs().amax() > 1e-3


@pytest.mark.parametrize("d_conv", [1, 2, 4])
def test_chunks_shorter_than_the_convolution_equal_the_whole(tokens, d_conv):
    model = model_of(d_conv=d_conv)
    whole = model(tokens)
    for size in (1, 2, 5):
        state, parts = model.init_state(3), []
        for chunk in tokens.split(size, dim=1):
            logits, state = model.prefill(chunk, state)
            parts.append(logits)
        torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-9, atol=1e-10)


def test_in_bfloat16_the_memory_stays_in_float32(tokens):
    model = model_of().float()
    expected, model = model(tokens), model.bfloat16()
    logits, state = model.prefill(tokens, model.init_state(3))
    assert logits.dtype == state.conv_BLKC.dtype == torch.bfloat16 and state.memory_BLHDD.dtype == torch.float32
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1 * expected.std().item())


def test_numbers_of_parameters():
    """A layer: two norms, 3 C C and its convolution, beta, a norm of a head, C C, and 3 C F of the feed-forward."""
    layer = 2 * 8 + 3 * 64 + 24 * 3 + 16 + 4 + 64 + 3 * 8 * 12
    assert num_parameters(DeltaNet(token_spec(), **SIZES)) == 2 * 7 * 8 + 2 * layer + 8


def test_the_yaml_gives_the_constructors_defaults():
    torch.manual_seed(0)
    ours = DeltaNet(token_spec(), d_model=16, num_layers=2, num_heads=4, ff_dim=24)
    state = small_model("deltanet", token_spec()).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())


def test_refuses_heads_that_do_not_divide():
    with pytest.raises(ValueError, match=r"num_heads=3 does not divide d_model=8; allowed: \[1, 2, 4, 8\]"):
        DeltaNet(token_spec(), **SIZES | {"num_heads": 3})
