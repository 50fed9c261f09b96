"""The positions of the Transformer against their formulas, natively and in plain torch."""

import copy
import math

import pytest
import torch

from seqlab.models.transformer import Transformer
from seqlab.nn.attention import CausalSelfAttention
from seqlab.nn.positional import LearnedPositions, RandomPositions, alibi_slopes, rotated
from seqlab.spec import Classes, Spec, Tokens
from tests.native import need_native
from tests.small_models import small_model, token_spec

WIDTH, HEADS = 16, 2
HOW = ["none", "learned", "rotary", "alibi", "random"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def plain_attention(attention, x, *, rotary=False, slopes=None):
    """Softmax by softmax and number by number: rotations as products of complex numbers, ALiBi as it is written."""
    batch, time, channels = x.shape
    width = channels // HEADS
    out = torch.zeros_like(x)
    for row in range(batch):
        q, k, v = (x[row] @ attention.qkv.weight.T + attention.qkv.bias).view(time, 3, HEADS, width).unbind(1)
        for head in range(HEADS):
            for t in range(time):
                scores = []
                for s in range(t + 1):
                    query, key = q[t, head], k[s, head]
                    if rotary:
                        query, key = turned(query, t), turned(key, s)
                    score = (query * key).sum() / math.sqrt(width)
                    scores.append(score - (slopes[head] * (t - s) if slopes else 0))
                weights = torch.stack(scores).softmax(0)
                out[row, t, head * width : (head + 1) * width] = weights @ v[: t + 1, head]
    return out @ attention.out.weight.T + attention.out.bias


def turned(vector, position):
    """Pairs (x0, x1), (x2, x3) ... as complex numbers times e^(i position 10000^(-2i/D))."""
    numbers = torch.view_as_complex(vector.view(-1, 2).contiguous())
    angles = [position / 10000 ** (2 * i / len(vector)) for i in range(len(numbers))]
    turns = torch.tensor([complex(math.cos(angle), math.sin(angle)) for angle in angles], dtype=numbers.dtype)
    return torch.view_as_real(numbers * turns).flatten()


@pytest.mark.parametrize(
    ("relative", "plain"), [("rotary", {"rotary": True}), ("alibi", {"slopes": [2**-4, 2**-8]}), (None, {})]
)
def test_attention_equals_its_formula(relative, plain):
    attention = CausalSelfAttention(d_model=WIDTH, num_heads=HEADS, dropout=0.0, relative=relative).double()
    x = torch.randn(2, 7, WIDTH, dtype=torch.float64)
    expected = plain_attention(attention, x, **plain)
    torch.testing.assert_close(attention(x), expected, rtol=1e-6, atol=1e-7)
    keys, values = (torch.zeros(2, HEADS, 7, WIDTH // HEADS, dtype=torch.float64) for _ in range(2))
    chunks = [attention.extend(x[:, a:b], keys, values, a) for a, b in ((0, 3), (3, 4), (4, 7))]
    torch.testing.assert_close(torch.cat(chunks, 1), expected, rtol=1e-6, atol=1e-7)


def test_attention_with_dropout_has_the_same_mean():
    """Dropout in training is a path of its own on a CPU."""
    attention = CausalSelfAttention(d_model=WIDTH, num_heads=HEADS, dropout=0.1, relative="alibi").train()
    x = torch.randn(1, 5, WIDTH)
    with torch.no_grad():
        mean = torch.stack([attention(x) for _ in range(1000)]).mean(0)
        torch.testing.assert_close(mean, plain_attention(attention, x, slopes=[2**-4, 2**-8]), rtol=0, atol=0.03)


def test_the_slopes_are_those_of_the_paper():
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]


def test_products_of_turned_vectors_depend_on_the_distance_alone():
    x = torch.randn(1, 1, 1, 8).double()
    one, other = torch.randn(2, 1, 1, 1, 8).double().unbind()

    def product(t, s):
        return (rotated(one, torch.tensor([t])) * rotated(other, torch.tensor([s]))).sum()

    torch.testing.assert_close(product(107, 100), product(7, 0))
    assert abs(product(7, 0) - product(8, 0)) > 1e-3
    torch.testing.assert_close(rotated(x, torch.tensor([31])).norm(), x.norm())


def test_without_positions_the_last_step_sees_a_bag():
    model = Transformer(token_spec(), d_model=16, num_layers=1, num_heads=2, positions="none").eval()
    there, back = torch.tensor([[1, 2, 3, 4, 0]]), torch.tensor([[4, 3, 2, 1, 0]])
    torch.testing.assert_close(model(there)[:, -1], model(back)[:, -1])
    for how in ("sinusoidal", "learned", "rotary", "alibi", "random"):
        other = small_model("transformer", token_spec(), positions=how, num_layers=1).eval()
        assert (other(there)[:, -1] - other(back)[:, -1]).abs().amax() > 1e-4, how


def test_learned_positions_are_a_table_of_the_length_of_the_data():
    positions = LearnedPositions(WIDTH, 9)
    assert 0.015 < positions.table_TC.std() < 0.025
    x = torch.randn(2, 4, WIDTH)
    assert torch.equal(positions(x, start=3), x + positions.table_TC[3:7])
    with pytest.raises(ValueError, match="a sequence of 10 steps: positions=learned has 9"):
        small_model("transformer", token_spec(9), positions="learned")(torch.zeros(1, 10, dtype=torch.long))


def test_random_positions_are_a_sorted_subset_in_training():
    positions, zeros = RandomPositions(WIDTH, 100).train(), torch.zeros(2, 20, WIDTH)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        added = positions(zeros)
        assert torch.equal(added[0], added[1])
        places = (added[0].unsqueeze(1) == positions.table_TC).all(-1).nonzero()[:, 1]
        assert len(places) == 20 and (places.diff() > 0).all()
        drawn.append(places)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(0)
    seen = torch.stack([positions(zeros[:1, :1])[0, 0] for _ in range(2000)])
    assert len(seen.unique(dim=0)) == 100  # of one step, every position
    with pytest.raises(ValueError, match="a sequence of 101 steps: positions=random has 100"):
        positions(torch.zeros(1, 101, WIDTH))


def test_random_positions_are_every_fourth_in_evaluation():
    positions = RandomPositions(WIDTH, 100).eval()
    assert torch.equal(positions(torch.zeros(1, 25, WIDTH))[0], positions.table_TC[::4])
    assert torch.equal(positions(torch.zeros(1, 5, WIDTH), start=20)[0], positions.table_TC[80::4])
    with pytest.raises(ValueError, match=r"a sequence of 26 steps: positions=random has 25; set model\.max_positions"):
        positions(torch.zeros(1, 26, WIDTH))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (token_spec(), {"positions": "rotary", "d_model": 12, "num_heads": 4}, "even width: d_model=12 has 4 heads"),
        (token_spec(9), {"positions": "random", "max_positions": 35}, "needs max_positions=36 or more here, not 35"),
        (token_spec(9), {"max_positions": 8}, "max_positions=8: needed here are 9 or more"),
        (Spec(Tokens(9, "pair"), Classes(2), 9), {"positions": "none", "d_model": 2, "num_heads": 1}, "has its own"),
    ],
)
def test_refuses_what_does_not_fit(spec, options, message):
    with pytest.raises(ValueError, match=message):
        Transformer(spec, **options)


@pytest.mark.parametrize("how", ["none", "rotary", "alibi"])
def test_reads_any_length(how):
    model = small_model("transformer", token_spec(9), positions=how, max_positions=1).eval()
    assert model(torch.zeros(1, 50, dtype=torch.long)).shape == (1, 50, 7)


def pair(how):
    """The same model natively and in plain torch."""
    need_native()
    plain = small_model("transformer", token_spec(40), positions=how, dropout=0.0, backend="torch")
    native = small_model("transformer", token_spec(40), positions=how, dropout=0.0, backend="native")
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    native.load_state_dict(plain.state_dict())
    return plain.eval(), native.eval()


def packed_and_gradients(model, tokens, lengths):
    logits = model.packed(tokens, lengths).double()
    weights = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view_as(logits)
    gradients = torch.autograd.grad((logits * weights).sum(), list(model.parameters()))
    return [logits.detach(), *(gradient.double() for gradient in gradients)]


@pytest.mark.parametrize("how", HOW)
def test_native_rows_are_as_near_to_float64_as_plain_ones(how):
    plain, native = pair(how)
    tokens, lengths = torch.randint(7, (6, 40)), torch.tensor([33, 1, 7, 0, 40, 2])
    exact = packed_and_gradients(copy.deepcopy(plain).double(), tokens, lengths)
    for model in (plain, native):
        for ours, theirs in zip(packed_and_gradients(model, tokens, lengths), exact, strict=True):
            assert (ours - theirs).norm() <= 2e-5 * theirs.norm().clamp(min=1e-3)


@pytest.mark.parametrize("how", HOW)
def test_native_steps_equal_plain_ones(how):
    tokens = torch.randint(7, (4, 30))
    with torch.inference_mode():
        models = pair(how)
        expected, found = models[0](tokens), []
        logits, state = models[1].prefill(tokens[:, :3], models[1].init_state(4, 30))
        found.append(logits)
        for place in range(3, 30):
            logits, state = models[1].step(tokens[:, place], state)
            found.append(logits.unsqueeze(1))
    torch.testing.assert_close(torch.cat(found, 1), expected, rtol=1e-4, atol=1e-4)


def test_native_alibi_under_bfloat16_autocast_is_as_near_to_float32_as_plain_torch():
    plain, native = pair("alibi")
    tokens, lengths = torch.randint(7, (5, 33)), torch.tensor([33, 1, 7, 20, 2])
    exact = packed_and_gradients(plain, tokens, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        results = [packed_and_gradients(model, tokens, lengths) for model in (native, plain)]
    ours, theirs = (
        torch.stack([(one - other).norm() / other.norm() for one, other in zip(result, exact, strict=True)])
        for result in results
    )
    assert 0 < ours.mean() < 1.5 * theirs.mean() and ours.max() < 2 * theirs.max()


def test_random_positions_are_drawn_once_for_a_batch_whatever_the_backend():
    lengths = torch.arange(128) % 60 + 1
    inputs = torch.randint(3, (128, 60))
    found = []
    for backend in ("torch", "auto"):
        torch.manual_seed(0)
        model = Transformer(token_spec(60), d_model=WIDTH, num_heads=HEADS, num_layers=1, ff_dim=8, positions="random",
                            dropout=0.0, backend=backend).train()  # fmt: skip
        torch.manual_seed(3)
        found.append(model.packed(inputs, lengths))
    assert torch.allclose(*found, atol=1e-5)
