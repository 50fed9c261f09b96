"""The native LSTM and GRU against torch's and, in both, against float64: values, gradients, lengths, types, threads."""

import copy

import pytest
import torch
from torch import nn

from seqlab.lit.footprint import LiveBytes
from seqlab.nn.native import gru, lstm
from seqlab.nn.native.time_major import time_major
from tests.native import needs_native

CELLS = {nn.LSTM: lstm.layer, nn.GRU: gru.layer}
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
each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)


def parts(cell, widths, lengths, *, seed=0):
    """A layer, its padded inputs (batch, time, width), and a weight for each of its outputs."""
    torch.manual_seed(seed)
    width, hidden = widths
    module = cell(width, hidden, batch_first=True)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)  # gates that open and close
    x = torch.randn(len(lengths), max(lengths), width)
    return module, x, torch.randn(sum(lengths), hidden)


def read(module, steps, order):
    """The outputs of the kernels, both time-major."""
    return CELLS[type(module)](steps, module, order)


def natively(module, x, lengths, weights):
    """The outputs, row after row, and the gradients of x and of the parameters."""
    x, order = x.clone().requires_grad_(), time_major(lengths)
    out = order.restored(read(module, x[order.rows, order.times], order))
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), [x, *module.parameters()])]


def plainly(module, x, lengths, weights):
    """The same by torch, each row alone."""
    x = x.clone().requires_grad_()
    out = torch.cat([module(row[:length])[0] for row, length in zip(x, lengths.tolist(), strict=True)])
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), [x, *module.parameters()])]


def errors(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [((one.double() - two.double()).norm() / two.double().norm().clamp(min=1e-9)).item() for one, two in pairs]


@needs_native
@each_cell
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}-{size[1]}-{len(size[2])}x{max(size[2])}")
def test_equals_torch_and_is_as_near_to_float64(cell, size):
    *widths, lengths = size
    module, x, weights = parts(cell, widths, lengths)
    lengths = torch.tensor(lengths)
    ours, theirs = natively(module, x, lengths, weights), plainly(module, x, lengths, weights)
    exact = plainly(copy.deepcopy(module).double(), x.double(), lengths, weights.double())
    assert max(errors(ours, theirs)) < 1e-5
    for our_error, their_error in zip(errors(ours, exact), errors(theirs, exact), strict=True):
        assert our_error < 3 * their_error + 3e-6


def halves_of_a_tangent(cell):
    """A layer of width 1 from whose candidate, tanh(x), goes half into the state: the other gates are 1/2."""
    module = cell(1, 1, batch_first=True)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.weight_ih_l0[2] = 1.0
    return module


@needs_native
@each_cell
def test_small_values_keep_their_digits_and_large_ones_saturate(cell):
    """A hyperbolic tangent by 2 sigmoid - 1 would lose them."""
    sizes = torch.cat([torch.logspace(-30, 2, 3001), -torch.logspace(-30, 2, 3001)])
    order = time_major(torch.ones(len(sizes), dtype=torch.int64))
    out = read(halves_of_a_tangent(cell), sizes[:, None], order)[:, 0].double()
    expected = 0.5 * torch.tanh(sizes.double())
    if cell is nn.LSTM:  # the state is a cell, and what is read is its tangent
        expected = 0.5 * torch.tanh(expected)
    assert ((out - expected).abs() <= 4e-7 * expected.abs()).all()


@needs_native
@each_cell
@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_gates_that_saturate_give_finite_values_and_gradients(cell, scale):
    module, x, weights = parts(cell, (3, 20), MIXED)
    lengths = torch.tensor(MIXED)
    ours, theirs = (function(module, scale * x, lengths, weights) for function in (natively, plainly))
    assert all(each.isfinite().all() for each in ours)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=1e-4)


@needs_native
@each_cell
def test_not_a_number_stays_in_its_row_from_its_step_on(cell):
    module, x, _ = parts(cell, (3, 20), MIXED)
    x[1, 5, 0] = torch.nan
    lengths = torch.tensor(MIXED)
    order = time_major(lengths)
    out = order.restored(read(module, x[order.rows, order.times], order))
    rows = [row.isnan().all(1) for row in out.split(MIXED)]
    assert not out.isnan().any(1).ne(torch.cat(rows)).any()
    assert [row.nonzero().flatten().tolist() for row in rows] == [
        list(range(5, 40)) if i == 1 else [] for i in range(10)
    ]


@needs_native
@each_cell
@pytest.mark.parametrize("lengths", [[0, 3, 0], [0, 0], []])
def test_rows_without_steps(cell, lengths):
    order = time_major(torch.tensor(lengths, dtype=torch.int64))
    module = cell(2, 5, batch_first=True)
    x = torch.randn(sum(lengths), 2, requires_grad=True)
    out = order.restored(read(module, x, order))
    out.sum().backward()
    assert out.shape == (sum(lengths), 5) and x.grad.shape == x.shape
    assert module.weight_hh_l0.grad.shape == module.weight_hh_l0.shape
    expected = torch.cat([x.detach()[:0] @ torch.zeros(2, 5), *([module(x)[0]] if sum(lengths) else [])])
    torch.testing.assert_close(out, expected)


def with_threads(num_threads, function):
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        return function()
    finally:
        torch.set_num_threads(before)


@needs_native
@each_cell
@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_same_bits_each_time_with_the_same_number_of_threads(cell, num_threads):
    module, x, weights = parts(cell, (64, 128), list(range(1, 41)) * 3)
    lengths = torch.tensor(list(range(1, 41)) * 3)
    first, second = (with_threads(num_threads, lambda: natively(module, x, lengths, weights)) for _ in range(2))
    assert all(map(torch.equal, first, second))


@needs_native
@each_cell
@pytest.mark.parametrize("gate_and_unit", [(0, 0), (0, 50), (1, 99), (2, 99)])
def test_the_kernel_gives_the_same_bits_with_any_number_of_threads(cell, gate_and_unit):
    """torch's products may add up in another order: here theirs have one term that is not zero."""
    lengths, (gate, unit) = list(range(1, 41)) * 5, gate_and_unit
    module, x, _ = parts(cell, (1, 100), lengths)
    with torch.no_grad():
        module.weight_ih_l0.mul_(torch.arange(len(module.weight_ih_l0)).unsqueeze(1) == 100 * gate + unit)
    order, results = time_major(torch.tensor(lengths)), []

    def output_and_gradient(inputs):
        out = read(module, inputs, order)
        return out, *torch.autograd.grad(out, inputs, torch.linspace(-1, 1, out.numel()).view_as(out))

    for num_threads in (1, 2, 3):
        inputs = x[order.rows, order.times].requires_grad_()
        results.append(with_threads(num_threads, lambda inputs=inputs: output_and_gradient(inputs)))
    assert results[0][1].abs().max() > 0
    assert all(torch.equal(*pair) for other in results[1:] for pair in zip(results[0], other, strict=True))


@needs_native
@each_cell
def test_nothing_wanted_of_the_parameters_is_computed_for_them(cell):
    module, x, weights = parts(cell, (5, 7), MIXED)
    lengths = torch.tensor(MIXED)
    expected = natively(module, x, lengths, weights)
    module.requires_grad_(False)
    module.weight_hh_l0.requires_grad_()
    order = time_major(lengths)
    x = x.clone().requires_grad_()
    (order.restored(read(module, x[order.rows, order.times], order)) * weights).sum().backward()
    assert torch.equal(x.grad, expected[1]) and torch.equal(module.weight_hh_l0.grad, expected[3])
    assert module.weight_ih_l0.grad is None and module.bias_ih_l0.grad is None and module.bias_hh_l0.grad is None


@needs_native
@pytest.mark.parametrize(
    ("cell", "dtype"), [(nn.LSTM, torch.float32), (nn.LSTM, torch.bfloat16), (nn.GRU, torch.float32)]
)
def test_inference_says_the_same_without_room_for_the_backward_pass(cell, dtype):
    module, x, _ = parts(cell, (16, 64), [50] * 8)
    order = time_major(torch.full((8,), 50))
    x = x[order.rows, order.times]
    outputs, peaks = [], []
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for context in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            with context(), LiveBytes() as live:
                outputs.append(read(module, x, order))
            peaks.append(live.peak)
    assert torch.equal(outputs[1], outputs[0]) and torch.equal(outputs[2], outputs[0])
    # bytes of the cells or of the candidate's products, and in bfloat16 also of four gates in float32
    hidden = 64 * 400 * 4
    room = hidden if dtype == torch.float32 else 5 * hidden
    assert peaks[1] < peaks[0] - 0.9 * room and peaks[2] < peaks[0] - 0.9 * room
