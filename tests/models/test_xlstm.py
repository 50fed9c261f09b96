"""xLSTM against the package that it wraps: parallel form, steps, initial weights, import."""

import re
import subprocess
import sys

import pytest
import torch

from seqlab.contract.measure import random_inputs
from seqlab.model import clone
from seqlab.models.xlstm import XLSTM, as_dict
from seqlab.spec import Classes, Spec, Tokens
from tests.small_models import token_spec, vector_spec

SIZES = {"d_model": 16, "num_layers": 3, "num_heads": 2}
L5 = Spec(Tokens(7), Classes(7), max_length=33, sos=0, eos=1, pad=2)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = XLSTM(token_spec(), **SIZES)
    with torch.no_grad():  # recurrent weights and gates start from zero: nothing would depend on them
        for name, parameter in model.named_parameters():
            if name.endswith(("_recurrent_kernel_", "igate.weight", "fgate.weight")):
                parameter.normal_(std=0.3)
    return model.eval()


@pytest.fixture
def tokens():
    return random_inputs(token_spec(), 3, 9)


def package_model(*, d_model=16, num_layers=3, num_heads=2, max_length=9):
    """The package's own language model of the same sizes."""
    import xlstm

    return xlstm.xLSTMLMModel(
        xlstm.xLSTMLMModelConfig(
            mlstm_block=xlstm.mLSTMBlockConfig(mlstm=xlstm.mLSTMLayerConfig(num_heads=num_heads)),
            slstm_block=xlstm.sLSTMBlockConfig(slstm=xlstm.sLSTMLayerConfig(num_heads=num_heads, backend="vanilla")),
            context_length=max_length + 1,
            num_blocks=num_layers,
            embedding_dim=d_model,
            slstm_at=[1],
            vocab_size=7,
        )
    )


THEIR_NAMES = {"embedding": "token_embedding", "stack": "xlstm_block_stack", "head": "lm_head"}


def their_name(name):
    first, rest = name.split(".", 1)
    return f"{THEIR_NAMES[first]}.{rest}"


@pytest.fixture
def package(model):
    """The package's language model with the weights of `model`: every name and shape of the state dict is its own."""
    package = package_model().eval()
    package.load_state_dict({their_name(name): value for name, value in model.state_dict().items()}, strict=True)
    return package


def assert_same(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_equals_the_package_in_values_and_gradients(model, package, tokens):
    model, package = model.double(), package.double()
    logits, expected = model(tokens), package(tokens)
    assert_same(logits, expected, 1e-12)
    weights = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (logits * weights).sum().backward()
    (expected * weights).sum().backward()
    theirs = dict(package.named_parameters())
    for name, parameter in model.named_parameters():
        assert_same(parameter.grad, theirs[their_name(name)].grad, 1e-10)


def test_steps_equal_the_parallel_form_at_full_size():
    torch.manual_seed(0)
    model = XLSTM(L5).eval()
    tokens = random_inputs(L5, 2, 33)
    with torch.no_grad():
        logits, state = model.prefill(tokens[:, :20], model.init_state(2))
        rest, _ = model.prefill(tokens[:, 20:], state)
        assert_same(torch.cat([logits, rest], 1), model(tokens), 1e-5)


def test_steps_equal_those_of_the_package_from_no_state(model, package, tokens):
    """The package's stabiliser starts from 0 and ours from -inf: the same up to the package's epsilon."""
    state = None
    theirs = []
    with torch.no_grad():
        for time in range(9):
            logits, state = package.step(tokens[:, time : time + 1], state)
            theirs.append(logits)
        ours, after = model.prefill(tokens, model.init_state(3))
    assert_same(ours, torch.cat(theirs, 1), 1e-5)
    for name, part in as_dict(after).items():
        assert part.keys() == state[name].keys()
        assert [p.shape for p in part["conv_state"]] == [p.shape for p in state[name]["conv_state"]]


def test_gradients_flow_through_steps(model, tokens):
    weights = torch.randn(3, 9, 7, generator=torch.Generator().manual_seed(1))
    names, parameters = zip(*model.named_parameters(), strict=True)
    whole = torch.autograd.grad((model(tokens) * weights).sum(), parameters)
    steps = torch.autograd.grad((model.prefill(tokens, model.init_state(3))[0] * weights).sum(), parameters)
    for name, one, other in zip(names, whole, steps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=name)


def test_beyond_the_context_length(model, package):
    """The package's parallel form fails there; steps go on, and `forward` takes them."""
    tokens = random_inputs(token_spec(), 2, 40)
    assert model.context_length == 10
    model(tokens[:, :10])
    with pytest.raises(RuntimeError):
        package(tokens[:, :11])
    longer = XLSTM(token_spec(max_length=39), **SIZES).eval()
    longer.load_state_dict(model.state_dict())
    expected = longer(tokens)
    assert_same(model(tokens), expected)
    first, state = model.prefill(tokens[:, :25], model.init_state(2))
    second, _ = model.prefill(tokens[:, 25:], state)
    assert_same(torch.cat([first, second], 1), expected)


def test_a_step_leaves_the_state_that_it_is_given(model, tokens):
    """The package's step overwrites the inputs of its convolutions."""
    _, state = model.prefill(tokens[:, :4], model.init_state(3))
    before = clone(state)
    model.step(tokens[:, 4], state)
    for part, kept in zip(state, before, strict=True):
        assert all(map(torch.equal, part, kept))


def test_defaults_on_L5():
    """As published: every size of it, beside the number of parameters that tests/contract counts."""
    model = XLSTM(L5)
    config = model.stack.config
    assert config.context_length == 34 and config.embedding_dim == 128 and config.num_blocks == 7
    assert config.slstm_at == [1] and config.block_map == [0, 1, 0, 0, 0, 0, 0]
    mlstm, slstm, feed_forward = config.mlstm_block.mlstm, config.slstm_block.slstm, config.slstm_block.feedforward
    assert (mlstm.conv1d_kernel_size, mlstm.qkv_proj_blocksize, mlstm.num_heads) == (4, 4, 4)
    assert (slstm.conv1d_kernel_size, slstm.num_heads, slstm.bias_init) == (4, 4, "powerlaw_blockdependent")
    assert (feed_forward.proj_factor, feed_forward.act_fn) == (1.3, "gelu")
    assert sum(parameter.numel() for parameter in model.parameters()) == 766640


def test_weights_start_as_the_package_resets_them():
    model, package = XLSTM(L5), package_model(d_model=128, num_layers=7, num_heads=4, max_length=33)
    for each in (model, package):
        torch.manual_seed(3)
        each.reset_parameters()
    theirs = package.state_dict()
    for name, value in model.state_dict().items():
        if "conv1d" not in name:  # which neither resets: they keep what nn.Conv1d drew
            assert torch.equal(value, theirs[their_name(name)]), name


def test_the_constructor_resets_embedding_and_head():
    """N(0, 2 / (5 d_model)); torch's defaults are N(0, 1) and a uniform distribution."""
    model = XLSTM(Spec(Tokens(400), Classes(400), max_length=9))
    for weight in (model.embedding.weight, model.head.weight):
        assert weight.std().item() == pytest.approx((2 / (5 * 128)) ** 0.5, rel=0.02)
        assert weight.abs().max() > 3.5 * weight.std()  # no uniform distribution


def test_vectors_come_in_through_a_linear_map():
    torch.manual_seed(0)
    model = XLSTM(vector_spec(), **SIZES).eval()
    x = torch.randn(2, 9, 3)
    weight, bias = model.embedding.parameters()
    assert_same(model(x), model.head(model.stack(x @ weight.T + bias)))
    assert model(x).shape == (2, 9, 2)


def test_dropout_acts_in_training_only(tokens):
    torch.manual_seed(0)
    model = XLSTM(token_spec(), **SIZES, dropout=0.5)
    assert not torch.allclose(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"d_model": 16, "num_heads": 3}, "num_heads=3 does not divide d_model=16 and 64; allowed: [1, 2, 4, 8]"),
        ({"d_model": 6, "num_heads": 3}, "num_heads=3 does not divide d_model=6 and 64; allowed: [1, 2]"),
        ({"qkv_blocksize": 3}, "qkv_blocksize=3 does not divide 256; allowed: [1, 2, 4, 8, 16, 32, 64, 128, 256]"),
        ({"num_layers": 1}, "num_layers=1 needs another slstm_at than [1]; allowed: 0 to 0"),
    ],
)
def test_refuses_sizes_that_do_not_fit(sizes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        XLSTM(token_spec(), **sizes)


@pytest.mark.parametrize(("slstm_at", "num_layers"), [((), 2), ((0, 1), 2), ((0, 2, 2), 3)])
def test_any_mixture_of_blocks(slstm_at, num_layers, tokens):
    torch.manual_seed(0)
    model = XLSTM(token_spec(), d_model=16, num_heads=2, num_layers=num_layers, slstm_at=slstm_at).eval()
    state = model.init_state(3)
    assert [hasattr(part, "states_BSC") for part in state] == [index in slstm_at for index in range(num_layers)]
    assert_same(model.prefill(tokens, state)[0], model(tokens))


def test_cuda_asked_for_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "^backend=cuda: needs an NVIDIA GPU and a CUDA build of torch; allowed here: auto, vanilla$"
    with pytest.raises(ValueError, match=message):
        XLSTM(token_spec(), **SIZES, backend="cuda")


def in_a_fresh_interpreter(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, encoding="utf-8")


def test_the_package_is_imported_with_the_first_model():
    done = in_a_fresh_interpreter(
        "import sys, seqlab.models.xlstm as ours\n"
        "assert not {'xlstm', 'torch.utils.cpp_extension'} & set(sys.modules)\n"
        "from seqlab.spec import *\n"
        "ours.XLSTM(Spec(Tokens(3), Classes(3), max_length=4))\n"
        "assert 'xlstm' in sys.modules and not {'mlstm_kernels', 'matplotlib'} & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


GPU_WITHOUT_TOOLKIT = (
    "import os, torch\n"
    "from torch.utils import cpp_extension\n"
    "torch.cuda.is_available = lambda: True\n"
    "torch.cuda.get_device_capability = lambda: (9, 0)\n"
    "torch.version.cuda = '13.0'\n"
    "cpp_extension.CUDA_HOME = None\n"
)


def test_the_package_fails_to_import_on_a_gpu_without_the_toolkit():
    done = in_a_fresh_interpreter(GPU_WITHOUT_TOOLKIT + "import xlstm")
    assert "OSError: CUDA_HOME environment variable is not set" in done.stderr


def test_a_model_is_built_on_a_gpu_without_the_toolkit():
    done = in_a_fresh_interpreter(
        GPU_WITHOUT_TOOLKIT + "from seqlab.models.xlstm import XLSTM\n"
        "from seqlab.spec import *\n"
        "model = XLSTM(Spec(Tokens(3), Classes(3), max_length=4))\n"
        "assert model(torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 4, 3)\n"
        "assert cpp_extension.CUDA_HOME is None and 'CUDA_LIB' not in os.environ"
    )
    assert done.returncode == 0, done.stderr
