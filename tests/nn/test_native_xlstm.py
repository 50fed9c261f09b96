"""The native kernels of xLSTM against the package's layers: values, gradients, training, threads."""

import copy
from statistics import median

import pytest
import torch
from torch import nn

from seqlab.models.xlstm import XLSTM
from seqlab.nn.native.convolution import CausalConvolution
from seqlab.nn.native.xlstm import MLSTM, SLSTM, MLSTMSizes
from seqlab.spec import Classes, Spec, Tokens
from tests.native import needs_native

# Head widths of 3 to 128 that are and are not multiples of the lanes, and each width of blocks and of convolutions
SIZES = [
    {"d_model": 12, "num_heads": 4, "d_conv": 2, "qkv_blocksize": 2},
    {"d_model": 42, "num_heads": 2, "d_conv": 3, "qkv_blocksize": 8},
    {"d_model": 33, "num_heads": 1, "d_conv": 5, "qkv_blocksize": 4},
    {"d_model": 96, "num_heads": 16, "d_conv": 4, "qkv_blocksize": 3},
    {"d_model": 96, "num_heads": 48, "d_conv": 4, "qkv_blocksize": 64},
]
MIXED = [*range(1, 41), 3, 0, 17, 1]
ROWS = {"mixed": MIXED, "one step each": [1] * 5, "long": [600, 2, 599], "one row": [23]}


def spec(max_length=40):
    return Spec(Tokens(11), Classes(11), max_length=max_length)


def lively(max_length=40, *, seed=0, **options):
    """A model whose every parameter matters: many start from zero, others from one."""
    torch.manual_seed(seed)
    model = XLSTM(spec(max_length), **{"num_layers": 3, "backend": "native"} | options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "embedding" in name else 0.05))
    return model


def twin(model, backend="torch"):
    """The same weights with another backend."""
    other = copy.deepcopy(model)
    other.backend = backend
    return other


def batch(lengths, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(11, (len(lengths), max(lengths)), generator=generator), torch.tensor(lengths)


def values_and_gradients(model, inputs, lengths):
    """The logits of all real steps, and the gradients of a random projection of them, in float64."""
    logits = model.packed(inputs, lengths)
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(logits.dtype)
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad((logits * weights).sum(), parameters)
    return {"logits": logits.detach().double(), **{n: g.double() for n, g in zip(names, gradients, strict=True)}}


def errors(actual, expected):
    """Of each tensor, relative to its norm; where that is next to nothing, to 1e-4 of the largest norm."""
    floor = 1e-4 * max(tensor.norm() for tensor in expected.values())
    return {
        name: ((actual[name] - expected[name]).norm() / (expected[name].norm() + floor)).item() for name in expected
    }


@needs_native
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_steps_equal_the_package_s_and_are_as_near_to_float64(size):
    """From the state before the first input, whose level is -inf, on."""
    model = lively(**size, slstm_at=())
    plain = twin(model)
    exact = twin(model).double()
    tokens = torch.randint(11, (5, 30), generator=torch.Generator().manual_seed(2))
    found = []
    with torch.no_grad():
        for one in (model, plain, exact):
            logits, state = one.prefill(tokens, one.init_state(5))
            found.append({"logits": logits.double()} | dict(enumerate(part.double() for part in state[0])))
    ours, theirs = errors(found[0], found[2]), errors(found[1], found[2])
    assert all(ours[name] < 3 * theirs[name] + 3e-6 for name in ours), (ours, theirs)
    assert max(errors(found[0], found[1]).values()) < 1e-5
    assert any(not found[0][name].equal(found[1][name]) for name in found[0])  # they are two computations


@needs_native
def test_steps_with_gradients_are_the_package_s():
    model = lively()
    tokens = torch.randint(11, (2, 4))
    parameter = model.head.weight
    gradients = [
        torch.autograd.grad(one.prefill(tokens, one.init_state(2))[0].square().sum(), one.head.weight)[0]
        for one in (model, twin(model))
    ]
    assert gradients[0].equal(gradients[1]) and gradients[0].shape == parameter.shape


@needs_native
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("rows", ["mixed", "one step each", "one row"])
def test_values_and_gradients_equal_the_plain_ones(sizes, rows):
    model = lively(**sizes)
    inputs, lengths = batch(ROWS[rows])
    native, plain = (values_and_gradients(each, inputs, lengths) for each in (model, twin(model)))
    assert not torch.equal(native["logits"], plain["logits"]), "both took the same path"
    worst = errors(native, plain)
    assert max(worst.values()) < 1e-4, worst


@needs_native
@pytest.mark.parametrize("sizes", SIZES[:3], ids=str)
@pytest.mark.parametrize("rows", ["mixed", "long"])
def test_as_close_to_the_model_in_double_as_the_plain_path(sizes, rows):
    model = lively(max(ROWS[rows]), **sizes)
    inputs, lengths = batch(ROWS[rows])
    exact = values_and_gradients(copy.deepcopy(model).double(), inputs, lengths)
    native, plain = (errors(values_and_gradients(each, inputs, lengths), exact) for each in (model, twin(model)))
    for name, error in native.items():
        assert error < max(1e-4, 3 * plain[name]), f"{name}: {error:.1e}, plain {plain[name]:.1e}"
    assert median(native.values()) < 2 * median(plain.values())


@needs_native
def test_whole_batches_equal_the_plain_ones():
    model = lively(**SIZES[1])
    inputs, _ = batch([19] * 6)
    torch.testing.assert_close(model(inputs), twin(model)(inputs), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(inputs), model.prefill(inputs, model.init_state(6))[0], rtol=1e-3, atol=1e-4)


@needs_native
@pytest.mark.parametrize("gate", [-30.0, 100.0])
def test_extreme_gates(gate):
    """The stabilisers: input gates whose exponential would overflow, and forget gates that keep nothing or all."""
    model = lively(**SIZES[1])
    with torch.no_grad():
        for block in (0, 2):
            cell = model.stack.blocks[block].xlstm.mlstm_cell
            cell.igate.bias.fill_(gate)
            cell.fgate.bias.fill_(-gate)
        _, bias_HGD = model.stack.blocks[1].xlstm.slstm_cell.external()
        bias_HGD[:, 0], bias_HGD[:, 1] = gate, -gate
    inputs, lengths = batch(MIXED)
    exact = values_and_gradients(copy.deepcopy(model).double(), inputs, lengths)
    native, plain = (errors(values_and_gradients(each, inputs, lengths), exact) for each in (model, twin(model)))
    largest = max(plain.values())  # such gates cancel most of a gradient, so each one's own rounding is luck
    for name, error in native.items():
        assert error < 10 * largest + 1e-4, f"{name}: {error:.1e}, plain at most {largest:.1e}"


@needs_native
def test_input_gates_that_fall_far():
    """A query's largest exponent belongs to an early key: without the running maximum, its weight would overflow."""
    model = lively(**SIZES[1], slstm_at=(), num_layers=1)
    with torch.no_grad():
        cell = model.stack.blocks[0].xlstm.mlstm_cell
        cell.igate.weight.mul_(400)
        cell.fgate.bias.fill_(20)
    inputs, lengths = batch(MIXED)
    exact = values_and_gradients(copy.deepcopy(model).double(), inputs, lengths)
    native, plain = (errors(values_and_gradients(each, inputs, lengths), exact) for each in (model, twin(model)))
    for name, error in native.items():
        assert error < max(1e-4, 5 * plain[name]), f"{name}: {error:.1e}, plain {plain[name]:.1e}"


@needs_native
def test_not_a_number_is_not_hidden_and_does_not_stay():
    """So that training stops on it: masks must not turn it into zero, nor memory that is used again hand it on."""
    model = lively(**SIZES[1])
    inputs, lengths = batch(MIXED)
    expected = values_and_gradients(model, inputs[:5], lengths[:5])
    for name, parameter in model.named_parameters():
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter.view(-1)[0] = torch.nan
        assert values_and_gradients(model, inputs, lengths)["logits"].isnan().any(), name
        with torch.no_grad():
            parameter.copy_(before)
        after = values_and_gradients(model, inputs[:5], lengths[:5])
        assert all(torch.equal(after[each], expected[each]) for each in expected), name


@needs_native
def test_what_follows_a_row_has_no_effect():
    model = lively(**SIZES[1])
    inputs, lengths = batch(MIXED)
    other = torch.where(torch.arange(inputs.shape[1]) < lengths[:, None], inputs, 10 - inputs)
    assert not torch.equal(other, inputs)
    results = [values_and_gradients(model, each, lengths) for each in (inputs, other)]
    assert all(torch.equal(one, two) for one, two in zip(*(result.values() for result in results), strict=True))


@needs_native
def test_a_row_does_not_depend_on_its_neighbours():
    model = lively(**SIZES[1]).eval()
    inputs, lengths = batch(MIXED)
    with torch.no_grad():
        logits = model.packed(inputs, lengths)
        alone = [model(row[None, :length])[0] for row, length in zip(inputs, lengths.tolist(), strict=True) if length]
    torch.testing.assert_close(logits, torch.cat(alone), rtol=1e-4, atol=1e-5)


def layer_inputs(width, num_rows=60):
    """Random arguments of the three kernels, large enough for several threads, and a gradient for each output."""
    torch.manual_seed(0)
    lengths = torch.randint(1, 60, (num_rows,))
    starts = nn.functional.pad(lengths.cumsum(0), (1, 0))
    steps, heads, group = int(lengths.sum()), 2, 4
    inner, head = 64, width // 2

    def normal(*shape):
        return (0.3 * torch.randn(shape)).requires_grad_()

    blocks = [normal(inner // group, group, group) for _ in range(3)]
    gates = [normal(heads, 3 * inner), normal(heads, 3 * inner), normal(heads), normal(heads)]
    mlstm = [normal(inner, 1, 4), normal(inner), *blocks, *gates, normal(inner), normal(inner)]
    early, late = normal(heads, steps, 2 * head), normal(heads, steps, 2 * head)
    return [
        (MLSTM, [normal(2 * inner, steps), starts, MLSTMSizes(heads, 1e-5), *mlstm]),
        (SLSTM, [early, late, normal(heads, head, 4 * head), normal(heads, 4 * head), starts]),
        (CausalConvolution, [normal(steps, width), normal(width, 1, 4), normal(width), starts]),
    ]


@needs_native
def test_the_same_bit_for_bit_with_any_number_of_threads():
    before = torch.get_num_threads()
    for function, arguments in layer_inputs(width=42):
        leaves = [argument for argument in arguments if isinstance(argument, torch.Tensor) and argument.requires_grad]
        results = []
        try:
            for num_threads in (1, 2, 3):
                torch.set_num_threads(num_threads)
                out = function.apply(*arguments)
                results.append([out.detach(), *torch.autograd.grad(out.sin().sum(), leaves)])
        finally:
            torch.set_num_threads(before)
        for others in results[1:]:
            assert all(map(torch.equal, others, results[0])), function


@needs_native
def test_twenty_steps_of_training_stay_equal_to_rounding():
    losses = []
    for backend in ("native", "torch"):
        model = twin(lively(**SIZES[0]), backend)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        for step in range(20):
            inputs, lengths = batch(MIXED, seed=step)
            targets = inputs.roll(1, 1)[torch.arange(inputs.shape[1]) < lengths[:, None]]
            loss = nn.functional.cross_entropy(model.packed(inputs, lengths), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[19] < losses[0] - 0.08, "it learns"
    assert losses[:20] == pytest.approx(losses[20:], rel=1e-5)


@needs_native
def test_dropout_draws_the_same_elements_as_the_plain_path():
    model = lively(**SIZES[1], dropout=0.5, slstm_at=())
    inputs, _ = batch([13] * 4)
    results = []
    for each in (model, twin(model), model):
        torch.manual_seed(len(results) // 2)
        results.append(each(inputs))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(results[0], results[2], atol=1e-2)


@needs_native
def test_dropout_of_an_slstm_has_the_same_mean_and_spread():
    """The plain path draws in another order: many rows are compared."""
    model = lively(**SIZES[1], dropout=0.3, slstm_at=(0,), num_layers=1)
    inputs = batch([5])[0].expand(4000, -1)
    with torch.no_grad():
        native, plain = model(inputs), twin(model)(inputs)
    deviation = (native.mean(0) - plain.mean(0)) / ((native.var(0) + plain.var(0)) / 4000).sqrt()
    assert deviation.abs().max() < 5
    torch.testing.assert_close(native.std(0), plain.std(0), rtol=0.1, atol=1e-3)
    assert native.std(0).min() > 1e-3, "rows drop different elements"


@needs_native
def test_beyond_the_context_length_it_goes_step_by_step():
    model, longer = lively(20, **SIZES[0]).eval(), lively(40, **SIZES[0]).eval()
    inputs, lengths = batch([35, 3, 30])
    with torch.no_grad():
        logits = model.packed(inputs, lengths)
        torch.testing.assert_close(logits, twin(model).packed(inputs, lengths))
        torch.testing.assert_close(model(inputs), twin(model)(inputs))
        torch.testing.assert_close(logits, longer.packed(inputs, lengths), rtol=1e-3, atol=1e-4)
