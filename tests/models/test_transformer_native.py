"""The Transformer's native step against plain torch: precision, bits, dropout, decoding, and where torch takes over."""

import copy
import logging

import pytest
import torch
from torch import nn

from seqlab.models.transformer import Transformer
from seqlab.nn.native import build, choice
from tests.models.test_transformer import SMALL, shake
from tests.native import need_native
from tests.small_models import small_model, token_spec


def gradients_of(model, tokens, lengths):
    """The packed logits and the gradients of a fixed weighted sum of them, in float64."""
    logits = model.packed(tokens, lengths).double()
    weights = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view_as(logits)
    return [
        logits.detach(),
        *(g.double() for g in torch.autograd.grad((logits * weights).sum(), list(model.parameters()))),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post"},
        {"activation": "gelu"},
        {"norm": "post", "activation": "gelu", "tied": True},
        {"d_model": 18, "num_heads": 3, "ff_dim": 25},
        {"num_heads": 1, "relu_rescale": 3.0},
    ],
    ids=str,
)
def test_the_native_step_is_as_near_to_float64_as_plain_torch(options):
    need_native()
    tokens, lengths = torch.randint(7, (5, 33)), torch.tensor([33, 1, 7, 20, 2])
    plain = shake(Transformer(token_spec(40), **SMALL | options, dropout=0.0, backend="torch"))
    native = Transformer(token_spec(40), **SMALL | options, dropout=0.0, backend="native")
    native.load_state_dict(plain.state_dict())
    exact = gradients_of(copy.deepcopy(plain).double(), tokens, lengths)
    for model in (plain, native):
        for ours, theirs in zip(gradients_of(model, tokens, lengths), exact, strict=True):
            assert (ours - theirs).norm() <= 2e-5 * theirs.norm().clamp(min=1e-3)


def test_the_native_step_has_the_same_bits_each_time():
    need_native()
    tokens, lengths = torch.randint(7, (64, 33)), torch.arange(64) % 33 + 1
    model = Transformer(token_spec(40), **SMALL, backend="native")
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append(gradients_of(model, tokens, lengths))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("options", [{}, {"d_model": 18, "num_heads": 3}, {"d_model": 40, "num_heads": 1}], ids=str)
def test_native_decoding_equals_plain_torch(options):
    """Steps after a chunk, with the same state afterwards; a state that is continued twice is cloned as ever."""
    need_native()
    tokens = torch.randint(7, (4, 30))
    models = [Transformer(token_spec(40), **SMALL | options, backend=backend).eval() for backend in ("torch", "native")]
    shake(models[0])
    models[1].load_state_dict(models[0].state_dict())
    found = []
    with torch.inference_mode():
        for model in models:
            logits, state = model.prefill(tokens[:, :3], model.init_state(4, 30))
            steps = [logits]
            for place in range(3, 30):
                logits, state = model.step(tokens[:, place], state)
                steps.append(logits.unsqueeze(1))
            found.append((torch.cat(steps, 1), *state))
    for plain, native in zip(*found, strict=True):
        torch.testing.assert_close(native, plain, rtol=1e-4, atol=1e-5)


def test_the_native_step_draws_its_dropout_from_torchs_generator():
    need_native()
    tokens = torch.randint(7, (4, 9))
    model = Transformer(token_spec(), **SMALL, dropout=0.3, backend="native")
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model(tokens))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    plain = Transformer(token_spec(), **SMALL, dropout=0.3, backend="torch")
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        means = [torch.stack([one(tokens) for _ in range(2000)]).mean(0) for one in (model, plain)]
    torch.testing.assert_close(*means, rtol=0, atol=0.05)  # one distribution: a draw has a deviation of 0.3


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_native_step_under_bfloat16_autocast_is_as_near_to_float32_as_plain_torch(norm):
    need_native()
    tokens, lengths = torch.randint(7, (5, 33)), torch.tensor([33, 1, 7, 20, 2])
    plain = Transformer(token_spec(40), **SMALL, norm=norm, dropout=0.0, backend="torch")
    native = Transformer(token_spec(40), **SMALL, norm=norm, dropout=0.0, backend="native")
    native.load_state_dict(plain.state_dict())
    exact = gradients_of(plain, tokens, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        errors = [
            [
                (one - other).norm() / other.norm()
                for one, other in zip(gradients_of(model, tokens, lengths), exact, strict=True)
            ]
            for model in (native, plain)
        ]
    ours, theirs = (torch.stack(values) for values in errors)
    assert 0 < ours.mean() < 1.5 * theirs.mean() and ours.max() < 2 * theirs.max()


def test_plain_torch_where_the_native_step_cannot_be(monkeypatch, caplog):
    def unavailable():
        raise build.UnavailableError("no C++ compiler (c++) on PATH")

    tokens = torch.randint(7, (3, 9))
    plain = small_model("transformer", token_spec(), backend="torch").eval()
    expected = plain(tokens)
    choice.chosen_backend.cache_clear()
    monkeypatch.setattr(build, "load", unavailable)
    try:
        with caplog.at_level(logging.INFO, "seqlab.nn"):
            for _ in range(2):
                assert torch.equal(small_model("transformer", token_spec()).eval()(tokens), expected)
        assert caplog.messages == [
            "transformer on cpu: backend=auto takes torch; native is not available: no C++ compiler (c++) on PATH"
        ]
        with pytest.raises(ValueError, match="backend=native computes on a CPU, and the model is on meta"):
            small_model("transformer", token_spec(), backend="native").to("meta")(tokens.to("meta"))
    finally:
        choice.chosen_backend.cache_clear()


def test_other_linear_maps_in_its_place_are_used():
    """As in a quantised model: the native step would pass them over."""

    class Zero(nn.Linear):
        def forward(self, input):
            return torch.zeros(*input.shape[:-1], self.out_features)

    model = small_model("transformer", token_spec()).eval()
    for layer in list(model.layers):
        layer.attention.out, layer.feed_forward.linear2 = Zero(16, 16), Zero(24, 16)
    tokens = torch.randint(7, (3, 9))
    without_layers = model.head(model.norm(model.positions(model.embedding(tokens))))
    torch.testing.assert_close(model(tokens), without_layers)
