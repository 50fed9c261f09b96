"""Every backend of the selective scan against the plain recurrence, in values and gradients."""

import itertools

import pytest
import torch

from seqlab.nn import scan
from seqlab.nn.native import scan as packed
from seqlab.nn.scan import selective_scan
from tests.native import needs_native
from tests.reference.scan import selective_scan as plain_scan

NATIVE = pytest.param("native", marks=needs_native)
BACKENDS = ["torch", NATIVE]
# batch, time, channels, states: one of each, sizes that no vector or block divides, and the sizes of L5
SIZES = [(1, 1, 1, 1), (3, 5, 37, 5), (2, 7, 33, 16), (4, 34, 128, 32)]


def random_arguments(batch, time, channels, states, dtype=torch.float32, *, seed=0):
    """x, delta, A, B, C, h as a trained Mamba has them: steps of 0.001 to 1, decay rates around 1, 2, 3, ..."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    delta = torch.exp(-3 + 1.5 * normal(batch, time, channels)).clamp(1e-3, 1.0)
    a = -torch.arange(1, states + 1) * torch.exp(0.1 * normal(channels, states))
    tensors = [
        normal(batch, time, channels),
        delta,
        a,
        normal(batch, time, states),
        normal(batch, time, states),
        normal(batch, channels, states),
    ]
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def values_and_gradients(function, arguments):
    """y, the last state, and the gradients of a fixed random projection of both."""
    y, h = function(*arguments)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(result.shape, generator=generator).to(result.dtype) for result in (y, h)]
    loss = (y * weights[0]).sum() + (h * weights[1]).sum()
    return [y.detach(), h.detach(), *torch.autograd.grad(loss, arguments)]


def relative_errors(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [((one.double() - two.double()).norm() / two.double().norm()).item() for one, two in pairs]


def scan_by(backend):
    return lambda *arguments: selective_scan(*arguments, backend=backend)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_equals_the_recurrence_in_values_and_gradients(backend, size):
    arguments = random_arguments(*size)
    expected = values_and_gradients(plain_scan, random_arguments(*size, torch.float64))
    assert max(relative_errors(values_and_gradients(scan_by(backend), arguments), expected)) < 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_torch_equals_the_recurrence_in_float64(size):
    arguments = random_arguments(*size, torch.float64)
    expected = values_and_gradients(plain_scan, arguments)
    assert max(relative_errors(values_and_gradients(scan_by("torch"), arguments), expected)) < 1e-13


@needs_native
@pytest.mark.parametrize("size", SIZES)
def test_native_equals_torch(size):
    arguments = random_arguments(*size)
    ours, torchs = (values_and_gradients(scan_by(backend), arguments) for backend in ("native", "torch"))
    for one, two in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5 * two.abs().max().item())


@pytest.mark.parametrize("backend", ["torch", "native"])  # float64 is torch's, whoever was asked for
def test_gradcheck_in_float64(backend):
    arguments = random_arguments(2, 4, 3, 2, torch.float64)
    assert torch.autograd.gradcheck(scan_by(backend), arguments, fast_mode=False)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bfloat16_inputs_are_summed_up_in_float32(backend):
    exact = random_arguments(3, 40, 37, 16, torch.float64)
    x, _, _, b, c, _ = exact
    with torch.no_grad():
        for tensor in (x, b, c):
            tensor.copy_(tensor.bfloat16())
    types = [torch.bfloat16, torch.float32, torch.float32, torch.bfloat16, torch.bfloat16, torch.float32]
    rounded = [tensor.detach().to(dtype).requires_grad_() for tensor, dtype in zip(exact, types, strict=True)]
    results = values_and_gradients(scan_by(backend), rounded)
    assert [result.dtype for result in results] == [torch.bfloat16, torch.float32, *types]
    # 2^-9 for each rounding to bfloat16: of y, and of the gradient that comes in
    assert max(relative_errors(results, values_and_gradients(plain_scan, exact))) < 5e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_under_autocast_the_scan_keeps_its_types(backend):
    arguments = random_arguments(2, 9, 16, 8)
    expected = values_and_gradients(scan_by(backend), arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = values_and_gradients(scan_by(backend), arguments)
    assert all(map(torch.equal, results, expected))


@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_with_the_state_between_them_equal_the_whole(backend):
    def in_chunks(x, delta, a, b, c, h):
        outputs = []
        for part in (slice(0, 1), slice(1, 6), slice(6, 9)):
            y, h = selective_scan(x[:, part], delta[:, part], a, b[:, part], c[:, part], h, backend=backend)
            outputs.append(y)
        return torch.cat(outputs, 1), h

    arguments = random_arguments(2, 9, 16, 8)
    expected = values_and_gradients(scan_by(backend), arguments)
    assert max(relative_errors(values_and_gradients(in_chunks, arguments), expected)) < 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
def test_takes_tensors_that_are_not_contiguous(backend):
    arguments = random_arguments(3, 5, 16, 8)
    expected, _ = plain_scan(*arguments)
    strided = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in arguments]
    torch.testing.assert_close(selective_scan(*strided, backend=backend)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_long_steps_forget_and_not_a_number_stays_one(backend):
    x, delta, a, b, c, h = (tensor.detach() for tensor in random_arguments(1, 4, 2, 8))
    y, last = selective_scan(x, delta + 1000, a, b, c, h, backend=backend)
    torch.testing.assert_close(y, (c * b).sum(-1, keepdim=True) * (delta + 1000) * x, rtol=1e-5, atol=1e-4)
    assert torch.isfinite(last).all()
    x[0, 2, 1] = torch.nan
    y, last = selective_scan(x, delta, a, b, c, h, backend=backend)
    assert y.isnan().nonzero().tolist() == [[0, 2, 1], [0, 3, 1]]
    delta[0, 1, 0] = torch.nan
    assert selective_scan(x, delta, a, b, c, h, backend=backend)[0][0, 1:, 0].isnan().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_saves_its_inputs_and_no_states(backend):
    batch, time, channels, states = 4, 34, 128, 32
    arguments = random_arguments(batch, time, channels, states)
    saved = []

    def keep(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        selective_scan(*arguments, backend=backend)
    assert sorted(tensor.data_ptr() for tensor in saved) == sorted(tensor.data_ptr() for tensor in arguments)


@pytest.mark.parametrize(("num_rows", "stops"), [(0.5, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (100, [5])])
def test_slices_of_the_batch_change_nothing(monkeypatch, num_rows, stops):
    arguments = random_arguments(5, 7, 16, 8)
    expected = values_and_gradients(scan_by("torch"), arguments)
    monkeypatch.setattr(scan, "SLICE_BYTES", int(num_rows * 7 * 16 * 8 * 4))
    slices = [rows.stop for rows, _ in scan._slices(arguments[0], arguments[2], num_arrays=1)]
    assert slices == stops
    assert max(relative_errors(values_and_gradients(scan_by("torch"), arguments), expected)) < 1e-6


@needs_native
def test_native_is_the_same_bit_for_bit_with_any_number_of_threads():
    arguments = random_arguments(4, 34, 128, 32)
    before = torch.get_num_threads()
    try:
        results = []
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append(values_and_gradients(scan_by("native"), arguments))
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(map(torch.equal, others, results[0]))


@needs_native
def test_packed_rows_equal_each_row_alone():
    """Rows of their own lengths, one of them empty, each from a state of its own."""
    lengths, channels, states = [3, 1, 0, 8, 2], 37, 5
    starts = torch.tensor([0, *lengths]).cumsum(0)
    x, delta, a, b, c, _ = (t[0] if t.dim() == 3 else t for t in random_arguments(1, sum(lengths), channels, states))
    h = torch.randn(len(lengths), channels, states, requires_grad=True)
    dout, dlast = torch.randn_like(x), torch.randn_like(h)
    inputs = packed.Inputs(*(None if t is None else t.detach() for t in (x, delta, None, a, b, c, None, None, h)))
    last = torch.empty_like(inputs.h_BDS)
    out = packed.forward(inputs, starts, last=last)
    to = packed.backward(inputs, starts, dout, dlast=dlast)
    doubles = [tensor.detach().double().requires_grad_() for tensor in (x, delta, a, b, c, h)]
    outputs, lasts = [], []
    for row, (first, stop) in enumerate(itertools.pairwise(starts)):
        x, delta, b, c = (doubles[i][None, first:stop] for i in (0, 1, 3, 4))
        h = doubles[5][row : row + 1]
        y, after = plain_scan(x, delta, doubles[2], b, c, h) if stop > first else (x, h)
        outputs.append(y[0])
        lasts.append(after)
    expected = [torch.cat(outputs), torch.cat(lasts)]
    gradients = torch.autograd.grad(expected, doubles, [dout.double(), dlast.double()])
    ours = [out, last, to.x_ND, to.delta_ND, to.a_DS, to.b_NS, to.c_NS, to.h_BDS]
    assert max(relative_errors(ours, [*expected, *gradients])) < 1e-5
