"""The Transformer and its parts against torch's own with copied weights, and what its options do."""

import math

import pytest
import torch
from torch import nn

from seqlab.model import clone, num_parameters
from seqlab.models.transformer import FeedForward, Transformer, TransformerLayer
from seqlab.nn.attention import CausalSelfAttention
from seqlab.nn.positional import SinusoidalPositions
from tests.small_models import small_model, token_spec, vector_spec

SMALL = {"d_model": 16, "num_layers": 2, "num_heads": 4, "ff_dim": 24}
BATCH, TIME, D_MODEL = 3, 7, 16


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def shake(module):
    """Random numbers in every parameter, so that no bias is zero and no scale is one."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=0.1, std=0.3)
    return module


def future(time):
    """True where attention is forbidden, as torch's modules want it."""
    return torch.ones(time, time, dtype=torch.bool).triu(1)


def assert_same(function, reference, inputs, pairs):
    """Equal values, and equal gradients of the inputs and of (ours, theirs) pairs of parameters."""
    weights = torch.randn_like(function(inputs))
    results = []
    for call, parameters in ((function, [p for p, _ in pairs]), (reference, [p for _, p in pairs])):
        x = inputs.clone().requires_grad_()
        y = call(x)
        results.append((y, torch.autograd.grad((y * weights).sum(), [x, *parameters])))
    (ours, our_gradients), (theirs, their_gradients) = results
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def copy_attention(ours, theirs):
    """Weights of a CausalSelfAttention into an nn.MultiheadAttention; the pairs."""
    pairs = [
        (ours.qkv.weight, theirs.in_proj_weight),
        (ours.qkv.bias, theirs.in_proj_bias),
        (ours.out.weight, theirs.out_proj.weight),
        (ours.out.bias, theirs.out_proj.bias),
    ]
    with torch.no_grad():
        for source, target in pairs:
            target.copy_(source)
    return pairs


def copy_layer(ours, theirs):
    """Weights of a TransformerLayer into an nn.TransformerEncoderLayer; the pairs."""
    modules = [
        (ours.feed_forward.linear1, theirs.linear1),
        (ours.feed_forward.linear2, theirs.linear2),
        (ours.norm1, theirs.norm1),
        (ours.norm2, theirs.norm2),
    ]
    pairs = copy_attention(ours.attention, theirs.self_attn)
    for source, target in modules:
        target.load_state_dict(source.state_dict())
        pairs += zip(source.parameters(), target.parameters(), strict=True)
    return pairs


def plain_attention(attention, x):
    """Attention with every softmax over keys <= query written out."""
    batch, time, channels = x.shape
    heads, width = attention.num_heads, channels // attention.num_heads
    projections = (x @ attention.qkv.weight.T + attention.qkv.bias).split(channels, dim=-1)
    q, k, v = (part.reshape(batch, time, heads, width) for part in projections)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(width)
    weights = scores.masked_fill(future(time), -torch.inf).softmax(-1)
    y = torch.einsum("bhts,bshd->bthd", weights, v).reshape(batch, time, channels)
    return y @ attention.out.weight.T + attention.out.bias


def test_attention_equals_the_explicit_softmax():
    ours = shake(CausalSelfAttention(d_model=D_MODEL, num_heads=4, dropout=0.0))
    pairs = [(parameter, parameter) for parameter in ours.parameters()]
    assert_same(ours, lambda x: plain_attention(ours, x), torch.randn(BATCH, TIME, D_MODEL), pairs)


@pytest.mark.parametrize("heads", [1, 4, 16])
def test_attention_equals_multihead_attention(heads):
    ours = shake(CausalSelfAttention(d_model=D_MODEL, num_heads=heads, dropout=0.0))
    theirs = nn.MultiheadAttention(D_MODEL, heads, batch_first=True)
    pairs = copy_attention(ours, theirs)
    mask = future(TIME)
    reference = lambda x: theirs(x, x, x, attn_mask=mask, need_weights=False)[0]  # noqa: E731
    assert_same(ours, reference, torch.randn(BATCH, TIME, D_MODEL), pairs)


def test_attention_begins_like_multihead_attention():
    ours = CausalSelfAttention(d_model=64, num_heads=8, dropout=0.0)
    bound = math.sqrt(6 / (64 + 3 * 64))  # Xavier on queries, keys and values as one matrix
    assert 0.98 * bound < ours.qkv.weight.abs().max() <= bound
    assert (ours.qkv.bias == 0).all() and (ours.out.bias == 0).all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("pre_norm", [True, False])
def test_layer_equals_transformer_encoder_layer(pre_norm, activation, training):
    theirs = nn.TransformerEncoderLayer(
        D_MODEL, 4, 24, dropout=0.0, activation=activation, layer_norm_eps=2e-4, batch_first=True, norm_first=pre_norm
    )
    ours = TransformerLayer(
        attention=CausalSelfAttention(d_model=D_MODEL, num_heads=4, dropout=0.0),
        feed_forward=FeedForward(d_model=D_MODEL, ff_dim=24, dropout=0.0, activation=activation, relu_rescale=1.0),
        pre_norm=pre_norm,
        d_model=D_MODEL,
        dropout=0.0,
        eps=2e-4,
    )
    pairs = copy_layer(shake(ours), theirs)
    ours.train(training)
    theirs.train(training)
    mask = future(TIME)
    # small inputs, so that the epsilon of the norms counts
    assert_same(ours, lambda x: theirs(x, src_mask=mask), 0.05 * torch.randn(BATCH, TIME, D_MODEL), pairs)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_whole_model_equals_torch_modules(norm):
    """Embedding times sqrt(d_model), positions in time, the stack, a final norm for `pre` only, the head."""
    ours = shake(Transformer(token_spec(TIME), **SMALL, norm=norm)).eval()
    layer = nn.TransformerEncoderLayer(D_MODEL, 4, 24, layer_norm_eps=2e-4, batch_first=True, norm_first=norm == "pre")
    theirs = nn.TransformerEncoder(
        layer, 2, nn.LayerNorm(D_MODEL, eps=2e-4) if norm == "pre" else None, enable_nested_tensor=False
    ).eval()
    for source, target in zip(ours.layers, theirs.layers, strict=True):
        copy_layer(source, target)
    if norm == "pre":
        theirs.norm.load_state_dict(ours.norm.state_dict())
    tokens = torch.randint(7, (BATCH, TIME))
    x = ours.embedding.weight[tokens] * 4 + plain_positions(TIME, D_MODEL)
    expected = theirs(x, mask=future(TIME)) @ ours.head.weight.T + ours.head.bias
    torch.testing.assert_close(ours(tokens), expected, rtol=1e-5, atol=1e-5)


def plain_positions(time, width):
    """The formula of the paper, number by number."""
    table = torch.zeros(time, width)
    for t in range(time):
        for c in range(width):
            angle = t / 10000 ** (2 * (c // 2) / width)
            table[t, c] = math.sin(angle) if c % 2 == 0 else math.cos(angle)
    return table


@pytest.mark.parametrize("width", [1, 2, 5, 16])
def test_positions_are_the_formula_in_time_for_every_row(width):
    positions = SinusoidalPositions(width, max_positions=40)
    added = positions(torch.zeros(3, 40, width))
    torch.testing.assert_close(added, plain_positions(40, width).expand(3, -1, -1), rtol=0, atol=1e-5)
    assert torch.equal(positions(torch.zeros(2, 6, width), start=30), added[:2, 30:36])
    assert positions.state_dict() == {}


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_positions_run_along_time_not_along_the_batch(norm):
    model = shake(Transformer(token_spec(), **SMALL, norm=norm)).eval()
    row = torch.randint(7, (1, 9))
    rows = model(row.expand(4, -1))
    torch.testing.assert_close(rows, rows[:1].expand(4, -1, -1), rtol=1e-5, atol=1e-5)
    same_token = model(torch.full((1, 9), 3))[0]  # without positions every step would say the same
    assert (same_token[1:] - same_token[:-1]).abs().amax(-1).min() > 1e-4


@pytest.mark.parametrize("rescale", [0.3, 7.0])
def test_relu_rescale_changes_nothing(rescale):
    plain = shake(Transformer(token_spec(), **SMALL)).eval()
    scaled = Transformer(token_spec(), **SMALL, relu_rescale=rescale).eval()
    scaled.load_state_dict(plain.state_dict())
    tokens = torch.randint(7, (BATCH, 9))
    torch.testing.assert_close(scaled(tokens), plain(tokens), rtol=1e-5, atol=1e-5)


def test_gelu_is_another_function():
    relu, gelu = (shake(Transformer(token_spec(), **SMALL, activation=name)).eval() for name in ("relu", "gelu"))
    gelu.load_state_dict(relu.state_dict())
    assert not torch.allclose(relu(torch.ones(1, 4, dtype=torch.long)), gelu(torch.ones(1, 4, dtype=torch.long)))


def test_dropout_acts_in_training_only():
    model = Transformer(token_spec(), **SMALL, dropout=0.5)
    tokens = torch.randint(7, (BATCH, 9))
    assert not torch.allclose(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_two_steps_from_one_state_share_its_cache():
    """Why one state is continued twice from a clone: a step writes into memory that all its descendants share."""
    model = Transformer(token_spec(), **SMALL).eval()
    a, b, c = torch.tensor([[3], [4], [5]])

    def after_a(copy):
        _, state = model.prefill(torch.tensor([[0, 3]]), model.init_state(1))
        _, with_a = model.step(a, copy(state))
        model.step(b, copy(state))
        return model.step(c, with_a)[0]

    expected = model(torch.tensor([[0, 3, 3, 5]]))[:, -1]
    torch.testing.assert_close(after_a(clone), expected, rtol=1e-5, atol=1e-5)
    overwritten = after_a(lambda state: state)
    assert not torch.allclose(overwritten, expected, atol=1e-3)
    with_b = model(torch.tensor([[0, 3, 4, 5]]))[:, -1]
    torch.testing.assert_close(overwritten, with_b, rtol=1e-5, atol=1e-5)


def test_reads_vectors_and_beyond_the_length_of_its_spec():
    model = Transformer(vector_spec(4), **SMALL).eval()
    inputs = torch.randn(2, 11, 3)
    logits, _ = model.prefill(inputs, model.init_state(2, 11))
    assert logits.shape == (2, 11, 2)
    torch.testing.assert_close(logits, model(inputs), rtol=1e-5, atol=1e-5)


def test_a_tied_head_is_the_embedding():
    model = small_model("transformer", token_spec(), tied=True)
    assert model.head.weight is model.embedding.weight
    assert num_parameters(small_model("transformer", token_spec())) - num_parameters(model) == 7 * 16


def test_refuses_heads_that_do_not_divide():
    with pytest.raises(ValueError, match=r"num_heads=3 does not divide d_model=16; allowed: \[1, 2, 4, 8, 16\]"):
        Transformer(token_spec(), **SMALL | {"num_heads": 3})


def test_refuses_relu_rescale_with_gelu():
    with pytest.raises(ValueError, match=r"relu_rescale=2\.0 needs activation=relu"):
        Transformer(token_spec(), **SMALL, activation="gelu", relu_rescale=2.0)


def test_refuses_more_steps_than_positions():
    model = Transformer(token_spec(), **SMALL, max_positions=9).eval()
    assert model(torch.zeros(1, 9, dtype=torch.long)).shape == (1, 9, 7)
    with pytest.raises(ValueError, match="a sequence of 10 steps: the position table has 9"):
        model(torch.zeros(1, 10, dtype=torch.long))


def test_refuses_more_steps_than_the_state_has_room_for():
    model = Transformer(token_spec(), **SMALL).eval()
    _, state = model.prefill(torch.zeros(2, 3, dtype=torch.long), model.init_state(2, 4))
    _, state = model.step(torch.zeros(2, dtype=torch.long), state)
    with pytest.raises(ValueError, match=r"4 \+ 1 steps do not fit a state made for 4"):
        model.step(torch.zeros(2, dtype=torch.long), state)
