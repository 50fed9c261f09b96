"""The native kernels of a Mamba block on packed rows against plain torch in float64, in values and gradients."""

import pytest
import torch
from torch.nn.functional import conv1d, linear, silu, softplus

from seqlab.lit.footprint import LiveBytes
from seqlab.nn.native import scan
from seqlab.nn.native.mamba import Convolution, mix
from tests.native import needs_native
from tests.reference.scan import selective_scan as plain_scan

pytestmark = needs_native

MIXED = [7, 40, 1, 1, 0, 23, 40, 12, 3, 31, 2]
# channels, states, steps of the convolution, rank of the step sizes, lengths: no vector or block divides the odd ones
SIZES = [
    (1, 1, 1, 1, [1]),
    (37, 5, 4, 3, MIXED),
    (33, 16, 2, 1, [1, 1, 1, 1, 1]),
    (64, 32, 8, 4, [9, 9, 9]),
    (5, 70, 8, 2, [33, 4]),
    (3, 24, 3, 1, [2000, 3]),
]


def arguments(channels, states, taps, rank, lengths, *, dtype=torch.float32, seed=0):
    """What `mix` takes, but for the starts of rows, as a trained Mamba has it."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    tensors = [
        normal(sum(lengths), 2 * channels).to(dtype),
        normal(channels, 1, taps) / taps**0.5,
        0.3 * normal(channels),
        normal(rank + 2 * states, channels) / channels**0.5,
        normal(channels, rank) / rank**0.5,
        -3 + 1.5 * normal(channels),
        -torch.arange(1.0, states + 1) * torch.exp(0.1 * normal(channels, states)),
        1 + 0.3 * normal(channels),
    ]
    return [tensor.requires_grad_() for tensor in tensors]


def starts_of(lengths):
    return torch.tensor([0, *lengths]).cumsum(0)


def plainly(lengths, xz, conv_weight, conv_bias, x_weight, dt_weight, dt_bias, a, skip):
    """Row by row in plain torch."""
    channels, states = a.shape
    rows = []
    for row in xz.split(lengths):
        x, gate = row.chunk(2, 1)
        padded = torch.cat([x.new_zeros(conv_weight.shape[2] - 1, channels), x])
        if len(x):
            x = silu(conv1d(padded.T.unsqueeze(0), conv_weight, conv_bias, groups=channels)[0].T)
        dt, b, c = linear(x, x_weight).split([dt_weight.shape[1], states, states], 1)
        delta = softplus(linear(dt, dt_weight) + dt_bias)
        h = x.new_zeros(1, channels, states)
        y, _ = plain_scan(*(t.unsqueeze(0) for t in (x, delta)), a, b.unsqueeze(0), c.unsqueeze(0), h)
        rows.append((y[0] + skip * x) * silu(gate))
    return torch.cat([row for row in rows if len(row)])


def values_and_gradients(function, tensors):
    out = function(*tensors)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), tensors)]


def natively(tensors, lengths):
    return values_and_gradients(lambda *tensors: mix(*tensors, starts_of(lengths)), tensors)


def exactly(tensors, lengths):
    doubles = [tensor.detach().double().requires_grad_() for tensor in tensors]
    return values_and_gradients(lambda *tensors: plainly([n for n in lengths if n], *tensors), doubles)


def errors(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [((one.double() - two).norm() / two.norm().clamp(min=1e-9)).item() for one, two in pairs]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[:4]}-{len(size[4])}x{max(size[4])}")
def test_equals_plain_torch_in_values_and_gradients(size):
    tensors = arguments(*size)
    assert max(errors(natively(tensors, size[4]), exactly(tensors, size[4]))) < 1e-5


def test_in_bfloat16():
    tensors = arguments(37, 16, 4, 3, MIXED, dtype=torch.bfloat16)
    results = natively(tensors, MIXED)
    assert [result.dtype for result in results] == [torch.bfloat16] * 2 + [torch.float32] * 7
    # 2^-9 for each rounding to bfloat16, of what is computed on the way and of the weights
    assert max(errors(results, exactly(tensors, MIXED))) < 2e-2


def test_thousands_of_steps():
    tensors = arguments(3, 16, 4, 1, [5000, 2])
    assert max(errors(natively(tensors, [5000, 2]), exactly(tensors, [5000, 2]))) < 2e-5


def test_a_row_does_not_see_another():
    tensors = arguments(37, 5, 8, 3, MIXED)
    changed = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    first, stop = starts_of(MIXED)[5:7].tolist()
    with torch.no_grad():
        changed[0][first:stop] = torch.randn(stop - first, 74)
    other = torch.ones(sum(MIXED), dtype=torch.bool)
    other[first:stop] = False
    for ours, theirs in zip(natively(tensors, MIXED)[:2], natively(changed, MIXED)[:2], strict=True):
        assert torch.equal(ours[other], theirs[other]) and not torch.equal(ours[~other], theirs[~other])


def test_not_a_number_stays_in_its_row_from_its_step_on():
    xz, *parameters = arguments(8, 5, 4, 2, [6, 6])
    xz = xz.detach()
    xz[7, 3] = torch.nan
    out = mix(xz, *parameters, starts_of([6, 6])).isnan()
    assert out.any(1).nonzero().flatten().tolist() == list(range(7, 12))


def test_small_steps_keep_their_digits():
    """softplus(x) is exp(x) far below zero: log(1 + exp(x)) in float32 would be 0."""
    delta = torch.linspace(-80, 30, 4001).unsqueeze(1)
    one, zero = torch.ones(4001, 1), torch.zeros(1)
    # h = step x, without a past: each step is a row
    inputs = scan.Inputs(one, delta, zero, -torch.ones(1, 1), one, one, None, None, None)
    out = scan.forward(inputs, torch.arange(4002))
    expected = softplus(delta.double(), threshold=100)
    assert ((out - expected).abs() <= 4e-7 * expected).all()


def with_threads(num_threads, function):
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        return function()
    finally:
        torch.set_num_threads(before)


def test_the_same_bits_with_any_number_of_threads():
    """The kernels alone: torch's matrix products may add up in another order."""
    lengths = list(range(1, 41)) * 2
    xz, conv_weight, conv_bias, _, _, dt_bias, a, skip = (t.detach() for t in arguments(100, 32, 4, 2, lengths))
    starts, num_steps = starts_of(lengths), sum(lengths)
    b, c, delta, dout = torch.randn(4, num_steps, 100).unbind()

    def results():
        convolution = Convolution(xz[:, :100], conv_weight[:, 0].t().contiguous(), conv_bias, starts)
        x, dxz = convolution.forward(), torch.empty_like(xz)
        inputs = scan.Inputs(x, delta, dt_bias, a, b[:, :32], c[:, :32], skip, xz[:, 100:], None)
        inner = torch.empty_like(x)
        out = scan.forward(inputs, starts, inner=inner)
        to = scan.backward(inputs, starts, dout, inner=inner, dgate=dxz[:, 100:])
        dweights = convolution.backward(to.x_ND.clone(), dxz[:, :100])
        return [x, out, inner, dxz, *to[:-1], *dweights]

    first, *others = (with_threads(num_threads, results) for num_threads in (1, 2, 3))
    assert all(torch.equal(*pair) for other in others for pair in zip(first, other, strict=True))


def test_inference_says_the_same_without_room_for_the_backward_pass():
    tensors, starts = arguments(64, 16, 4, 4, [50] * 8), starts_of([50] * 8)
    outputs, peaks = [], []
    for context in (torch.enable_grad, torch.inference_mode):
        with context(), LiveBytes() as live:
            outputs.append(mix(*tensors, starts))
        peaks.append(live.peak)
    assert torch.equal(*outputs)
    assert peaks[1] < peaks[0] - 0.9 * 64 * 400 * 4  # the outputs before the gate
