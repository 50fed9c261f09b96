"""The linear model against the published three-way einsum, and which steps each mask lets an output see."""

import math

import pytest
import torch

from seqlab.models.linear import Linear
from seqlab.spec import Classes, Spec, Tokens
from tests.small_models import token_spec, vector_spec

STEPS = 9
# mask[s, t] is 1 where output t sees input s
MASKS = {
    "causal": torch.tensor([[float(s <= t) for t in range(STEPS)] for s in range(STEPS)]),
    "upstream": torch.tensor([[float(s >= t) for t in range(STEPS)] for s in range(STEPS)]),
}


def linear(mask, spec=None):
    torch.manual_seed(0)
    model = Linear(spec or token_spec(STEPS), d_model=5, mask=mask)
    torch.nn.init.normal_(model.bias_TV)
    return model


@pytest.fixture
def tokens():
    return torch.randint(7, (4, STEPS), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("steps", [1, 4, STEPS])
@pytest.mark.parametrize("mask", ["causal", "upstream"])
def test_equals_the_published_einsum_in_values_and_gradients(mask, steps, tokens):
    model = linear(mask).double()
    embedding, weight, bias = model.embedding.weight, model.weight_SCTV, model.bias_TV
    mask_ST = MASKS[mask].double()[:steps, :steps]
    x = embedding[tokens[:, :steps]]
    expected = torch.einsum("bsw,swtv,st->btv", x, weight[:steps, :, :steps], mask_ST) + bias[:steps]
    logits = model(tokens[:, :steps])
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ours = torch.autograd.grad((logits * weights).sum(), [embedding, weight, bias])
    theirs = torch.autograd.grad((expected * weights).sum(), [embedding, weight, bias])
    for gradient, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mask", ["causal", "upstream"])
def test_every_output_sees_just_what_its_mask_allows(mask):
    model = linear(mask, vector_spec(STEPS))
    inputs = torch.randn(1, STEPS, 3, requires_grad=True)
    logits = model(inputs)
    seen = torch.stack([torch.autograd.grad(logits[0, t].sum(), inputs, retain_graph=True)[0][0] for t in range(STEPS)])
    assert torch.equal((seen.abs().sum(-1) > 0).float().T, MASKS[mask])


def test_upstream_sees_its_target_and_not_its_past(tokens):
    """Why `upstream` is no language model: the target of output t is input t + 1."""
    model = linear("upstream")
    t, other_past, other_target = 4, tokens.clone(), tokens.clone()
    other_past[:, :t] = (tokens[:, :t] + 1) % 7
    other_target[:, t + 1] = (tokens[:, t + 1] + 1) % 7
    torch.testing.assert_close(model(other_past)[:, t:], model(tokens)[:, t:], rtol=1e-5, atol=1e-6)
    assert ((model(other_target)[:, t] - model(tokens)[:, t]).abs().amax(-1) > 1e-3).all()


def test_causal_sees_its_past_and_not_its_target(tokens):
    model = linear("causal")
    t, other_past, other_target = 4, tokens.clone(), tokens.clone()
    other_past[:, 0] = (tokens[:, 0] + 1) % 7
    other_target[:, t + 1] = (tokens[:, t + 1] + 1) % 7
    assert ((model(other_past)[:, t] - model(tokens)[:, t]).abs().amax(-1) > 1e-3).all()
    torch.testing.assert_close(model(other_target)[:, : t + 1], model(tokens)[:, : t + 1], rtol=1e-5, atol=1e-6)


def test_causal_is_the_default(tokens):
    torch.manual_seed(0)
    default = Linear(token_spec(STEPS), d_model=5)
    causal = linear("causal")
    causal.load_state_dict(default.state_dict())
    assert torch.equal(default(tokens), causal(tokens))


def test_is_affine_in_its_embedded_inputs():
    model = linear("causal", vector_spec(STEPS)).double()
    x, y = torch.randn(2, 3, STEPS, 3, dtype=torch.float64)
    combined = model(0.3 * x + 0.7 * y)
    torch.testing.assert_close(combined, 0.3 * model(x) + 0.7 * model(y), rtol=1e-10, atol=1e-12)


def test_begins_with_xavier_weights_and_no_bias():
    torch.manual_seed(0)
    model = Linear(token_spec(STEPS), d_model=20)
    bound = math.sqrt(6 / (STEPS * 20 + STEPS * 7))  # one matrix from all inputs to all outputs
    assert 0.98 * bound < model.weight_SCTV.abs().max() <= bound
    assert model.weight_SCTV.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert (model.bias_TV == 0).all()


def test_refuses_a_vocabulary_for_which_it_would_not_fit_into_memory():
    with pytest.raises(ValueError, match="4,194,304,000 weights with d_model=128 and 2000 outputs"):
        Linear(Spec(Tokens(2000), Classes(2000), max_length=128))


def test_refuses_more_steps_than_it_is_built_for():
    model = linear("causal")
    with pytest.raises(ValueError, match="linear is built for 9 steps and cannot read 10"):
        model(torch.zeros(1, 10, dtype=torch.long))
    with pytest.raises(ValueError, match="linear is built for 9 steps and cannot read 12"):
        model.init_state(1, 12)
    _, state = model.prefill(torch.zeros(1, 8, dtype=torch.long), model.init_state(1))
    with pytest.raises(ValueError, match="linear is built for 9 steps and cannot read 10"):
        model.prefill(torch.zeros(1, 2, dtype=torch.long), state)
