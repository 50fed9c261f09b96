"""Every backend of the selective scan against the plain recurrence, in values and gradients; who is chosen, and why."""

import itertools
import logging
import sys
import types

import pytest
import torch

from seqlab.nn import scan
from seqlab.nn.native import build, choice
from seqlab.nn.native import scan as packed
from seqlab.nn.scan import chosen_backend, cuda_kernel, selective_scan
from tests.reference.scan import selective_scan as plain_scan

try:
    build.load()
    WHY_NOT = ""
except build.UnavailableError as error:
    WHY_NOT = f"no native scan: {error}"

NATIVE = pytest.param("native", marks=pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT))
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


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
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


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
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


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
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


@pytest.fixture
def fresh_choice():
    """No choice remembered, before and after."""
    for function in (chosen_backend, cuda_kernel, choice.chosen_backend):
        function.cache_clear()
    yield
    for function in (chosen_backend, cuda_kernel, choice.chosen_backend):
        function.cache_clear()


def test_the_choice_is_logged_once(fresh_choice, caplog):
    arguments = random_arguments(1, 2, 3, 4)
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        for _ in range(3):
            selective_scan(*arguments, backend="torch")
    assert caplog.messages == ["selective scan on cpu: backend=torch takes torch"]
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        chosen = chosen_backend("auto", "cpu")
    assert chosen == ("torch" if WHY_NOT else "native")
    assert caplog.messages[1].startswith(f"selective scan on cpu: backend=auto takes {chosen}")


@pytest.mark.parametrize(("backend", "level"), [("auto", logging.INFO), ("native", logging.WARNING)])
def test_falls_back_to_torch_without_the_native_scan(fresh_choice, monkeypatch, caplog, backend, level):
    def unavailable():
        raise build.UnavailableError("no C++ compiler (c++) on PATH")

    monkeypatch.setattr(build, "load", unavailable)
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        selective_scan(*random_arguments(1, 2, 3, 4), backend=backend)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (
        f"selective scan on cpu: backend={backend} takes torch; native is not available: no C++ compiler (c++) on PATH"
    )


def test_backends_of_the_other_device_are_refused(fresh_choice):
    with pytest.raises(ValueError, match="backend=cuda computes on a GPU, and the model is on cpu"):
        selective_scan(*random_arguments(1, 2, 3, 4), backend="cuda")
    with pytest.raises(ValueError, match="backend=native computes on a CPU, and the model is on cuda"):
        chosen_backend("native", "cuda")


BROKEN = {
    "missing": "raise ModuleNotFoundError(\"No module named 'selective_scan_cuda'\")",
    "no library": "raise OSError('libcudart.so.12: cannot open shared object file')",
    "other torch": "raise RuntimeError('undefined symbol:\\n  _ZN3c10')",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_missing_or_broken_mamba_ssm_is_one_line_with_the_install_command(fresh_choice, monkeypatch, tmp_path, how):
    (tmp_path / "mamba_ssm").mkdir()
    (tmp_path / "mamba_ssm" / "__init__.py").write_text(BROKEN[how], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mamba_ssm", raising=False)
    with pytest.raises(ValueError) as caught:
        cuda_kernel()
    message, kind = str(caught.value), BROKEN[how][6:].split("(")[0]
    assert message.startswith(f"backend=cuda needs mamba_ssm, which cannot be imported ({kind}: ")
    assert "pip install --no-build-isolation mamba-ssm" in message and "\n" not in message
    assert chosen_backend("auto", "cuda") == "torch"


def test_the_cuda_kernel_is_called_as_mamba_ssm_wants_it(monkeypatch):
    """A stand-in with the arguments and layout of selective_scan_fn; the kernel itself needs a GPU."""
    calls = []

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False,
                          return_last_state=False):  # fmt: skip
        calls.append([tensor.dtype for tensor in (u, delta, A, B, C)])
        assert u.is_contiguous() and D is None and z is None and not delta_softplus
        y, last = plain_scan(u.mT, delta.mT, A, B.mT, C.mT, torch.zeros(len(u), *A.shape))
        return (y.mT, last) if return_last_state else y.mT

    package, ops, interface = (types.ModuleType(name) for name in ("mamba_ssm", "mamba_ssm.ops", "interface"))
    interface.selective_scan_fn = selective_scan_fn
    monkeypatch.setitem(sys.modules, "mamba_ssm", package)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", ops)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", interface)
    cuda_kernel.cache_clear()
    arguments = random_arguments(2, 9, 16, 8)
    zero = torch.zeros_like(arguments[-1])
    for start, num_calls in ((zero, 1), (arguments[-1], 1)):  # the kernel cannot start from another state
        results = scan._cuda_scan(*arguments[:-1], start)
        for result, expected in zip(results, plain_scan(*arguments[:-1], start), strict=True):
            torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
        assert len(calls) == num_calls
    assert not scan._cuda_scan(*arguments[:-1], zero)[1].requires_grad
    y, _ = scan._cuda_scan(arguments[0].bfloat16(), *arguments[1:-1], zero)
    assert y.dtype == torch.bfloat16 and set(calls[-1]) == {torch.float32}
    cuda_kernel.cache_clear()
