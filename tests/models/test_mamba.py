"""Mamba against transformers and mambapy with the same weights; its state, initial values and options."""

import math

import pytest
import torch

from seqlab.contract.measure import random_inputs
from seqlab.model import num_parameters
from seqlab.models.mamba import Mamba
from seqlab.optim import parameter_groups
from seqlab.spec import Bits, Classes, Spec, Tokens
from tests.small_models import small_model, token_spec, vector_spec

BACKENDS = ["torch", "auto"]


def mamba(spec=None, *, seed=0, **options):
    """Small, with weights that are all alive: dt, D and the norms do not start where they start in training."""
    torch.manual_seed(seed)
    model = Mamba(spec or token_spec(), **{"d_model": 32, "num_layers": 3, "d_state": 8} | options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or name.endswith("A_log"):
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "embedding" in name:
                parameter.mul_(50)
    return model.eval()


@pytest.fixture
def tokens():
    return random_inputs(token_spec(), 3, 9)


def relative_error(actual, expected):
    return ((actual - expected).norm() / expected.norm()).item()


def weighted_sum(logits):
    return (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))).sum()


def huggingface(model, **options):
    """transformers' Mamba of the same sizes, which runs in plain torch where no kernels are installed."""
    transformers = pytest.importorskip("transformers", reason="extra `reference`: transformers")
    mixer = model.backbone.layers[0].mixer
    config = transformers.MambaConfig(
        vocab_size=model.backbone.embedding.num_embeddings,
        hidden_size=model.lm_head.in_features,
        state_size=mixer.A_log.shape[1],
        num_hidden_layers=len(model.backbone.layers),
        conv_kernel=mixer.conv1d.kernel_size[0],
        expand=2,
        layer_norm_epsilon=1e-5,
        use_cache=False,
        **{"tie_word_embeddings": False} | options,
    )
    return transformers.MambaForCausalLM(config).eval()


def renamed(state, old, new):
    return {name.replace(old, new): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("d_conv", [4, 8])
def test_equals_transformers_in_logits_and_gradients(tokens, backend, d_conv):
    model = mamba(backend=backend, d_conv=d_conv)
    theirs = huggingface(model)
    theirs.load_state_dict(renamed(model.state_dict(), ".embedding.", ".embeddings."), strict=True)
    logits, expected = model(tokens), theirs(tokens).logits
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    weighted_sum(logits).backward()
    weighted_sum(expected).backward()
    gradients = {name.replace("embeddings", "embedding"): p.grad for name, p in theirs.named_parameters()}
    for name, parameter in model.named_parameters():
        assert relative_error(parameter.grad, gradients[name]) < 1e-5, name


def test_state_dict_comes_back_from_transformers(tokens):
    model, other = mamba(), mamba(seed=1)
    theirs = huggingface(other)
    theirs.load_state_dict(renamed(other.state_dict(), ".embedding.", ".embeddings."), strict=True)
    model.load_state_dict(renamed(theirs.state_dict(), ".embeddings.", ".embedding."), strict=True)
    assert torch.equal(model(tokens), other(tokens))


def test_tied_and_padded_state_dict_goes_to_transformers(tokens):
    model = mamba(tie_embeddings=True, pad_vocab_multiple=8)
    theirs = huggingface(model, tie_word_embeddings=True)
    theirs.load_state_dict(renamed(model.state_dict(), ".embedding.", ".embeddings."), strict=True)
    expected = theirs(tokens).logits
    assert expected.shape[-1] == 8
    torch.testing.assert_close(model(tokens), expected[..., :7], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pscan", [True, False])
def test_equals_mambapy_in_outputs_and_gradients(tokens, backend, pscan):
    theirs = pytest.importorskip("mambapy.mamba", reason="extra `reference`: mambapy")
    model = mamba(backend=backend)
    config = theirs.MambaConfig(d_model=32, n_layers=3, d_state=8, d_conv=8, pscan=pscan)
    reference = theirs.Mamba(config)
    state = {name: tensor for name, tensor in model.backbone.state_dict().items() if name.startswith("layers.")}
    reference.load_state_dict(state, strict=True)
    expected = model.lm_head(model.backbone.norm_f(reference(model.backbone.embedding(tokens))))
    ours = {f"layers.{name}": parameter for name, parameter in model.backbone.layers.named_parameters()}
    gradients = torch.autograd.grad(weighted_sum(expected), list(reference.parameters()))
    logits = model(tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    weighted_sum(logits).backward()
    for (name, _), gradient in zip(reference.named_parameters(), gradients, strict=True):
        assert relative_error(ours[name].grad, gradient) < 1e-5, name


def test_parameter_names_of_mamba_ssm():
    mixer = ["A_log", "D", "conv1d.bias", "conv1d.weight", "dt_proj.bias", "dt_proj.weight", "in_proj.weight",
             "out_proj.weight", "x_proj.weight"]  # fmt: skip
    layer = [f"backbone.layers.0.mixer.{name}" for name in mixer] + ["backbone.layers.0.norm.weight"]
    outside = ["backbone.embedding.weight", "backbone.norm_f.weight", "lm_head.weight"]
    assert sorted(mamba(num_layers=1).state_dict()) == sorted(layer + outside)


def test_numbers_of_parameters_on_L5():
    spec = token_spec(33)
    assert num_parameters(Mamba(spec)) == 315_840
    assert num_parameters(Mamba(spec, tie_embeddings=True)) == 315_840 - 7 * 64
    assert num_parameters(Mamba(spec, pad_vocab_multiple=8)) == 315_840 + 2 * 64
    assert num_parameters(Mamba(spec, pad_vocab_multiple=7)) == 315_840


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("d_conv", [1, 2, 8])
def test_chunks_shorter_than_the_convolution_equal_the_whole(tokens, backend, d_conv):
    model = mamba(backend=backend, d_conv=d_conv)
    whole = model(tokens)
    for size in (1, 2, 3, 5):
        state, parts = model.init_state(3), []
        for chunk in tokens.split(size, dim=1):
            logits, state = model.prefill(chunk, state)
            parts.append(logits)
        torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)
    _, at_once = model.prefill(tokens, model.init_state(3))
    torch.testing.assert_close(state, at_once, rtol=1e-5, atol=1e-5)


def test_the_state_has_one_size_and_the_inputs_of_the_last_steps(tokens):
    model = mamba()
    before = model.init_state(3, 1000)
    assert before.conv_BLKD.shape == (3, 3, 7, 64) and before.scan_BLDN.shape == (3, 3, 64, 8)
    _, state = model.prefill(tokens[:, :2], before)
    assert [part.shape for part in state] == [part.shape for part in before]
    first = model.backbone.layers[0]
    x_BTD, _ = first.mixer.in_proj(first.norm(model.backbone.embedding(tokens[:, :2]))).chunk(2, -1)
    torch.testing.assert_close(state.conv_BLKD[:, 0, 5:], x_BTD)
    assert (state.conv_BLKD[:, :, :5] == 0).all()


def test_gradients_flow_through_a_state(tokens):
    model = mamba()
    weighted_sum(model(tokens)).backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    first, state = model.prefill(tokens[:, :4], model.init_state(3))
    second, _ = model.prefill(tokens[:, 4:], state)
    weighted_sum(torch.cat([first, second], 1)).backward()
    for name, parameter in model.named_parameters():
        assert relative_error(parameter.grad, expected[name]) < 1e-5, name


def test_keeps_nothing_of_the_size_of_all_states():
    """Autograd keeps tensors of (batch, time, channels), not of (batch, time, channels, states)."""
    batch, time = 8, 33
    model = Mamba(token_spec(time), num_layers=2)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()) or tensor, lambda x: x):
        model(random_inputs(model.spec, batch, time))
    assert sizes and max(sizes) <= batch * time * 2 * 128 < batch * time * 128 * 32 / 10


def test_initial_values_of_mamba_ssm():
    torch.manual_seed(0)
    model = Mamba(token_spec(), d_model=256, num_layers=4)
    torch.testing.assert_close(model.backbone.embedding.weight.std().item(), 0.02, rtol=0.1, atol=0)
    for layer in model.backbone.layers:
        mixer = layer.mixer
        assert mixer.dt_proj.in_features == 16
        torch.testing.assert_close(mixer.A_log.exp(), torch.arange(1.0, 33.0).expand(512, 32))
        assert (mixer.D == 1).all() and (layer.norm.weight == 1).all()
        steps = torch.nn.functional.softplus(mixer.dt_proj.bias).log()
        low, high = math.log(1e-3), math.log(0.1)
        assert low - 1e-4 < steps.min() < low + 0.1 and high - 0.1 < steps.max() < high + 1e-4
        assert abs(steps.mean() - (low + high) / 2) < 0.3
        for weight, bound in (
            (mixer.dt_proj.weight, 16**-0.5),
            (mixer.in_proj.weight, 256**-0.5),
            (mixer.x_proj.weight, 512**-0.5),
            (mixer.conv1d.weight, 8**-0.5),
            (mixer.out_proj.weight, 512**-0.5 / math.sqrt(4)),
        ):
            assert 0.98 * bound < weight.abs().max() <= bound


def test_decay_rates_do_not_decay():
    model = mamba()
    matrices, others = parameter_groups(model, 0.1)
    exempt = {id(parameter) for parameter in others["params"]}
    names = {name.split(".")[-1] for name, p in model.named_parameters() if id(p) in exempt and p.ndim >= 2}
    assert names == {"A_log"} and matrices["weight_decay"] == 0.1 and others["weight_decay"] == 0


def test_tied_embeddings_are_one_matrix(tokens):
    model = mamba(tie_embeddings=True)
    assert model.lm_head.weight is model.backbone.embedding.weight
    other = mamba(tie_embeddings=True, seed=1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(tokens), model(tokens))
    assert other.lm_head.weight is other.backbone.embedding.weight


def test_no_logit_beyond_the_vocabulary(tokens):
    model = mamba(pad_vocab_multiple=8)
    with torch.no_grad():
        model.lm_head.weight[7:] = 1000.0
    logits, state = model.prefill(tokens, model.init_state(3))
    assert model.backbone.embedding.num_embeddings == 8 and logits.shape == (3, 9, 7)
    assert model.step(tokens[:, 0], state)[0].shape == (3, 7)
    weighted_sum(logits).backward()
    assert (model.lm_head.weight.grad[7:] == 0).all()


@pytest.mark.parametrize("options", [{"tie_embeddings": True}, {"pad_vocab_multiple": 8}])
@pytest.mark.parametrize("spec", [vector_spec(), Spec(Tokens(7), Classes(5), 9), Spec(Tokens(7), Bits(7), 9)])
def test_refuses_options_of_one_vocabulary_where_there_are_two(spec, options):
    with pytest.raises(ValueError, match="need the same tokens in and out"):
        mamba(spec, **options)


def test_refuses_the_cuda_backend_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mamba_ssm", None)
    with pytest.raises(ValueError, match="pip install --no-build-isolation mamba-ssm"):
        mamba(backend="cuda")


def test_in_bfloat16_the_scan_state_stays_in_float32(tokens):
    model = mamba()
    expected = model(tokens)
    model = model.bfloat16()
    logits, state = model.prefill(tokens, model.init_state(3))
    assert logits.dtype == state.conv_BLKD.dtype == torch.bfloat16 and state.scan_BLDN.dtype == torch.float32
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1 * expected.std().item())


def test_torch_compile_leaves_the_scan_alone(tokens):
    model = mamba()
    compiled = torch.compile(mamba(), backend="eager")
    torch.testing.assert_close(compiled(tokens), model(tokens), rtol=1e-5, atol=1e-6)


def test_the_yaml_gives_the_constructors_defaults():
    torch.manual_seed(0)
    ours = Mamba(token_spec(), d_model=16, num_layers=2)
    state = small_model("mamba", token_spec()).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())
