"""Packed rows of Mamba by the native kernels against plain torch: values, gradients, training; what is torch's."""

import copy

import pytest
import torch

from seqlab.contract.measure import random_inputs
from seqlab.export.quantize import quantize
from tests.models.test_lstm_native import losses_of_twenty_steps
from tests.models.test_mamba import mamba, relative_error
from tests.native import need_native
from tests.small_models import token_spec


@pytest.fixture
def tokens():
    return random_inputs(token_spec(), 3, 9)


def pair(**options):
    """The same model with both backends."""
    need_native()
    return mamba(backend="torch", **options), mamba(backend="native", **options)


def packed_and_gradients(model, inputs, lengths):
    logits = model.packed(inputs, lengths)
    weights = torch.linspace(-1, 1, logits.numel()).view_as(logits)
    return [logits.detach(), *torch.autograd.grad((logits * weights).sum(), list(model.parameters()))]


def errors(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [((one.double() - two).norm() / two.norm().clamp(min=1e-9)).item() for one, two in pairs]


LENGTHS = [[7, 40, 1, 1, 23, 40, 12, 3, 31, 2], [1], [9, 9, 9], [2000]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"d_model": 19, "d_state": 5, "d_conv": 3}, {"d_conv": 1, "expand": 1}], ids=str
)
def test_native_rows_are_as_near_to_float64_as_plain_ones(options, lengths):
    plain, native = pair(**options)
    inputs, lengths = torch.randint(7, (len(lengths), max(lengths))), torch.tensor(lengths)
    exact = packed_and_gradients(copy.deepcopy(plain).double(), inputs, lengths)
    ours, theirs = (packed_and_gradients(model, inputs, lengths) for model in (native, plain))
    assert max(errors(ours, theirs)) < 1e-4
    for our_error, their_error in zip(errors(ours, exact), errors(theirs, exact), strict=True):
        assert our_error < 3 * their_error + 2e-5


def test_twenty_native_steps_of_training_are_the_plain_ones_to_rounding():
    models = pair()
    losses = losses_of_twenty_steps(models, lr=1e-3)
    assert losses[0][-1] < 0.95 * losses[0][0]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=1e-5)
    for name, parameter in models[0].named_parameters():
        assert relative_error(models[1].get_parameter(name), parameter) < 1e-3, name


def test_native_rows_under_bfloat16_autocast_are_as_near_to_float32_as_plain_ones():
    plain, native = pair(d_model=64)
    tokens, lengths = torch.randint(7, (10, 40)), torch.tensor(LENGTHS[0])
    exact = packed_and_gradients(plain, tokens, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        results = [packed_and_gradients(model, tokens, lengths) for model in (native, plain)]
    assert all(one.dtype == other.dtype for one, other in zip(*results, strict=True))
    ours, theirs = (torch.tensor(errors(result, exact)) for result in results)
    assert 1e-4 < ours.mean() < 1.2 * theirs.mean() and ours.max() < 1.5 * theirs.max()


def test_quantised_maps_are_used(tokens):
    plain, native = (quantize(model) for model in pair())
    assert torch.equal(native(tokens), plain(tokens))
    lengths = torch.tensor([9, 2, 5])
    assert torch.equal(native.packed(tokens, lengths), plain.packed(tokens, lengths))


def test_what_the_native_kernels_do_not_compute_is_torchs(tokens):
    plain, native = pair()
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(native(tokens), plain(tokens))
    assert torch.equal(native.double()(tokens), plain.double()(tokens))
