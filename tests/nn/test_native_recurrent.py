"""The native LSTM against nn.LSTM and, in both, against float64: values and gradients, lengths, types, threads."""

import copy

import pytest
import torch
from torch import nn

from seqlab.lit.footprint import LiveBytes
from seqlab.nn.native.lstm import layer
from seqlab.nn.native.time_major import time_major
from tests.native import needs_native

MIXED = [7, 40, 1, 1, 23, 40, 12, 3, 31, 2]
# input width, hidden width, lengths: no vector divides the odd ones
SIZES = [
    (1, 1, [1]),
    (3, 5, [1, 1, 1]),
    (5, 7, MIXED),
    (9, 33, [6, 6, 6]),
    (20, 64, list(range(1, 41))),
    (4, 16, [9]),
    (2, 6, [2000]),
    (2, 6, [2000, 3]),
]
SMALL = {"d_model": 10, "num_layers": 3}


def parts(widths, lengths, *, seed=0):
    """A layer, its padded inputs (batch, time, width), and a weight for each of its outputs."""
    torch.manual_seed(seed)
    width, hidden = widths
    lstm = nn.LSTM(width, hidden, batch_first=True)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(2)  # gates that open and close
    x = torch.randn(len(lengths), max(lengths), width)
    return lstm, x, torch.randn(sum(lengths), hidden)


def natively(lstm, x, lengths, weights):
    """The outputs, row after row, and the gradients of x and of the parameters."""
    x, order = x.clone().requires_grad_(), time_major(lengths)
    out = order.restored(layer(x[order.rows, order.times], lstm, order))
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), [x, *lstm.parameters()])]


def plainly(lstm, x, lengths, weights):
    """The same by torch, each row alone."""
    x = x.clone().requires_grad_()
    out = torch.cat([lstm(row[:length])[0] for row, length in zip(x, lengths.tolist(), strict=True)])
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), [x, *lstm.parameters()])]


def errors(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [((one.double() - two.double()).norm() / two.double().norm().clamp(min=1e-9)).item() for one, two in pairs]


@needs_native
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}-{size[1]}-{len(size[2])}x{max(size[2])}")
def test_equals_torch_and_is_as_near_to_float64(size):
    *widths, lengths = size
    lstm, x, weights = parts(widths, lengths)
    lengths = torch.tensor(lengths)
    ours, theirs = natively(lstm, x, lengths, weights), plainly(lstm, x, lengths, weights)
    exact = plainly(copy.deepcopy(lstm).double(), x.double(), lengths, weights.double())
    assert max(errors(ours, theirs)) < 1e-5
    for our_error, their_error in zip(errors(ours, exact), errors(theirs, exact), strict=True):
        assert our_error < 3 * their_error + 3e-6


@needs_native
def test_small_values_keep_their_digits_and_large_ones_saturate():
    """A hyperbolic tangent by 2 sigmoid - 1 would lose them."""
    lstm = nn.LSTM(1, 1, batch_first=True)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.weight_ih_l0[2] = 1.0  # the candidate is tanh(x), the other gates are 1/2
    sizes = torch.cat([torch.logspace(-30, 2, 3001), -torch.logspace(-30, 2, 3001)])
    order = time_major(torch.ones(len(sizes), dtype=torch.int64))
    out = layer(sizes[:, None], lstm, order)[:, 0].double()
    expected = 0.5 * torch.tanh(0.5 * torch.tanh(sizes.double()))
    assert ((out - expected).abs() <= 4e-7 * expected.abs()).all()


@needs_native
def test_not_a_number_stays_in_its_row_from_its_step_on():
    lstm, x, _ = parts((3, 20), MIXED)
    x[1, 5, 0] = torch.nan
    lengths = torch.tensor(MIXED)
    order = time_major(lengths)
    out = order.restored(layer(x[order.rows, order.times], lstm, order))
    rows = [row.isnan().all(1) for row in out.split(MIXED)]
    assert not out.isnan().any(1).ne(torch.cat(rows)).any()
    assert [row.nonzero().flatten().tolist() for row in rows] == [
        list(range(5, 40)) if i == 1 else [] for i in range(10)
    ]


@needs_native
@pytest.mark.parametrize("lengths", [[0, 3, 0], [0, 0], []])
def test_rows_without_steps(lengths):
    order = time_major(torch.tensor(lengths, dtype=torch.int64))
    lstm = nn.LSTM(2, 5, batch_first=True)
    x = torch.randn(sum(lengths), 2, requires_grad=True)
    out = order.restored(layer(x, lstm, order))
    out.sum().backward()
    assert out.shape == (sum(lengths), 5) and x.grad.shape == x.shape and lstm.weight_hh_l0.grad.shape == (20, 5)
    expected = torch.cat([x.detach()[:0] @ torch.zeros(2, 5), *([lstm(x)[0]] if sum(lengths) else [])])
    torch.testing.assert_close(out, expected)


def with_threads(num_threads, function):
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        return function()
    finally:
        torch.set_num_threads(before)


@needs_native
@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_same_bits_each_time_with_the_same_number_of_threads(num_threads):
    lstm, x, weights = parts((64, 128), list(range(1, 41)) * 3)
    lengths = torch.tensor(list(range(1, 41)) * 3)
    first, second = (with_threads(num_threads, lambda: natively(lstm, x, lengths, weights)) for _ in range(2))
    assert all(map(torch.equal, first, second))


@needs_native
@pytest.mark.parametrize("unit", [0, 50, 199, 399])
def test_the_kernel_gives_the_same_bits_with_any_number_of_threads(unit):
    """torch's products may add up in another order: here theirs have one term that is not zero."""
    lengths = list(range(1, 41)) * 5
    lstm, x, _ = parts((1, 100), lengths)
    with torch.no_grad():
        lstm.weight_ih_l0.mul_(torch.arange(400).unsqueeze(1) == unit)
    order, results = time_major(torch.tensor(lengths)), []

    def output_and_gradient(inputs):
        out = layer(inputs, lstm, order)
        return out, *torch.autograd.grad(out, inputs, torch.linspace(-1, 1, out.numel()).view_as(out))

    for num_threads in (1, 2, 3):
        inputs = x[order.rows, order.times].requires_grad_()
        results.append(with_threads(num_threads, lambda inputs=inputs: output_and_gradient(inputs)))
    assert results[0][1].abs().max() > 0
    assert all(torch.equal(*pair) for other in results[1:] for pair in zip(results[0], other, strict=True))


@needs_native
def test_nothing_wanted_of_the_parameters_is_computed_for_them():
    lstm, x, weights = parts((5, 7), MIXED)
    lengths = torch.tensor(MIXED)
    expected = natively(lstm, x, lengths, weights)
    lstm.requires_grad_(False)
    lstm.weight_hh_l0.requires_grad_()
    order = time_major(lengths)
    x = x.clone().requires_grad_()
    (order.restored(layer(x[order.rows, order.times], lstm, order)) * weights).sum().backward()
    assert torch.equal(x.grad, expected[1]) and torch.equal(lstm.weight_hh_l0.grad, expected[3])
    assert lstm.weight_ih_l0.grad is None and lstm.bias_ih_l0.grad is None


@needs_native
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inference_says_the_same_without_room_for_the_backward_pass(dtype):
    lstm, x, _ = parts((16, 64), [50] * 8)
    order = time_major(torch.full((8,), 50))
    x = x[order.rows, order.times]
    outputs, peaks = [], []
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for context in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            with context(), LiveBytes() as live:
                outputs.append(layer(x, lstm, order))
            peaks.append(live.peak)
    assert torch.equal(outputs[1], outputs[0]) and torch.equal(outputs[2], outputs[0])
    hidden = 64 * 400 * 4  # bytes of the cells, and in bfloat16 also of four gates in float32
    room = hidden if dtype == torch.float32 else 5 * hidden
    assert peaks[1] < peaks[0] - 0.9 * room and peaks[2] < peaks[0] - 0.9 * room
