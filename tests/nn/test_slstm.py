"""The sLSTM cell against the package's vanilla cell, and against its CUDA cell with the equations of the kernels."""

import copy
import re

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.utils import cpp_extension

from seqlab.nn.slstm import SLSTMCell, why_no_kernels

HEADS, WIDTH = 2, 12
CHANNELS = HEADS * WIDTH


def config(**options):
    from xlstm.blocks.slstm.cell import sLSTMCellConfig

    return sLSTMCellConfig(hidden_size=CHANNELS, num_heads=HEADS, backend="vanilla", **options)


def kernel_cell(config):
    """The package's CUDA cell; its compiled function is replaced by the equations of slstm_pointwise.cu in torch.

    It gets what the compiled one would: gates (time, batch, heads x 4 x width), weights (heads, width in,
    4 x width out), bias (heads x 4 x width).
    """
    from xlstm.blocks.slstm.cell import sLSTMCell_cuda

    cell = sLSTMCell_cuda(config, skip_backend_init=True)

    def compiled(training, gates, state):
        assert training, "the kernels have no gradient otherwise"
        weights, bias = cell._recurrent_kernel, cell._bias.view(HEADS, 4, WIDTH)
        all_states = [state]
        for gates_now in gates.view(*gates.shape[:2], HEADS, 4, WIDTH):
            y, c, n, m = all_states[-1].unbind()
            recurrent = torch.einsum("bhi,hio->bho", y.view(-1, HEADS, WIDTH), weights)
            raw = gates_now + recurrent.view(-1, HEADS, 4, WIDTH) + bias
            i, f, z, o = (part.reshape(-1, CHANNELS) for part in raw.unbind(2))
            kept = logsigmoid(f) + m
            scale = torch.where(n == 0, i, torch.maximum(i, kept))
            entering, forgetting = torch.exp(i - scale).clamp(max=1), torch.exp(kept - scale).clamp(max=1)
            c, n = forgetting * c + entering * torch.tanh(z), forgetting * n + entering
            all_states.append(torch.stack((torch.sigmoid(o) * c / n, c, n, scale)))
        return torch.stack(all_states, 1)

    cell._impl = compiled
    return cell


@pytest.fixture
def cell():
    from xlstm.blocks.slstm.cell import sLSTMCell_vanilla

    torch.manual_seed(0)
    cell = SLSTMCell(sLSTMCell_vanilla(config(dtype="float32")), with_kernels=True, required=True)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.5)
    return cell.double()


@pytest.fixture
def gates():
    """Two chunks of 5 steps for 3 rows."""
    return torch.randn(2, 3, 5, 4 * CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def assert_same(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def gradients(cell, result):
    output, state = result
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(part.shape, dtype=torch.float64, generator=generator) for part in (output, state)]
    loss = (output * weights[0]).sum() + (state * weights[1]).sum()
    return torch.autograd.grad(loss, list(cell.parameters()))


def test_the_loop_equals_the_package_also_from_a_state(cell, gates):
    (vanilla,) = cell.vanilla
    for state in (None, vanilla(gates[1])[1].detach()):
        ours, theirs = cell(gates[0], state), vanilla(gates[0], state)
        assert_same(ours, theirs)
        assert_same(gradients(cell, ours), gradients(vanilla, theirs))


def test_large_gates_neither_overflow_nor_lose_their_gradient(cell, gates):
    output, state = cell(gates[0] * 300)
    assert torch.isfinite(output).all() and torch.isfinite(state).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(cell, (output, state)))


def test_the_two_cells_of_the_package_lay_out_their_weights_differently():
    """The recurrent weights differ in shape, the bias in order only; outside, both show the same."""
    from xlstm.blocks.slstm.cell import sLSTMCell_cuda, sLSTMCell_vanilla

    vanilla = sLSTMCell_vanilla(config())
    cuda = sLSTMCell_cuda(config(), skip_backend_init=True)
    assert vanilla._recurrent_kernel_.shape == (HEADS, 4 * WIDTH, WIDTH)
    assert cuda._recurrent_kernel_.shape == (HEADS, WIDTH, 4 * WIDTH)
    assert vanilla._bias_.shape == cuda._bias_.shape and not torch.equal(vanilla._bias_, cuda._bias_)
    assert torch.equal(vanilla._bias_int2ext(vanilla._bias_), cuda._bias_int2ext(cuda._bias_))
    weights, bias = torch.randn(HEADS, WIDTH, 4, WIDTH), torch.randn(HEADS, 4, WIDTH)
    for cell in (vanilla, cuda):
        assert torch.equal(cell._recurrent_kernel_int2ext(cell._recurrent_kernel_ext2int(weights)), weights)
        assert torch.equal(cell._bias_int2ext(cell._bias_ext2int(bias)), bias)


@pytest.fixture
def made(monkeypatch):
    """The configurations from which kernels were made; they are made of torch."""
    configs = []

    def make(config):
        configs.append(config)
        return kernel_cell(config)

    from xlstm.blocks.slstm import cell

    real = cell.sLSTMCell_cuda

    def constructor(config, skip_backend_init=False):
        return real(config, skip_backend_init=True) if skip_backend_init else make(config)

    monkeypatch.setattr(cell, "sLSTMCell_cuda", constructor)
    return configs


def test_kernels_equal_the_loop_in_values_states_and_gradients(cell, made, gates):
    cell.kernels = cell.compile_kernels()
    for state in (None, cell.by_loop(gates[1], None)[1].detach()):
        loop, kernels = cell.by_loop(gates[0], state), cell.by_kernels(gates[0], state)
        assert_same(kernels, loop)
        assert_same(gradients(cell, kernels), gradients(cell, loop))


def test_checkpoints_hold_the_vanilla_layout_with_kernels_too(cell, made, gates):
    from xlstm.blocks.slstm.cell import sLSTMCell_vanilla

    cell.kernels = cell.compile_kernels()
    cell.by_kernels(gates[0], None)
    vanilla = sLSTMCell_vanilla(config()).double()
    vanilla.load_state_dict(cell.state_dict(), strict=True)
    assert_same(vanilla(gates[0]), cell.by_kernels(gates[0], None))
    assert len(list(cell.parameters())) == 2, "the kernels' own parameters are none of the model's"


def test_kernels_follow_weights_that_are_loaded_or_reset_later(cell, made, gates):
    cell.kernels = cell.compile_kernels()
    weights = copy.deepcopy(cell.state_dict())
    before = cell.by_kernels(gates[0], None)
    cell.reset_parameters()
    assert not torch.equal(cell._bias_, weights["_bias_"])
    assert_same(cell.by_kernels(gates[0], None), cell.by_loop(gates[0], None))
    cell.load_state_dict(weights, assign=True)
    assert_same(cell.by_kernels(gates[0], None), before)


def test_a_copy_stands_alone(cell, gates):
    """Copying breaks the package's own reset_parameters."""
    other = copy.deepcopy(cell)
    expected = cell(gates[0])
    other.reset_parameters()
    assert not torch.equal(other._bias_, cell._bias_)
    assert_same(cell(gates[0]), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kernels_compute_in_the_dtype_that_was_asked_for(made, dtype):
    from xlstm.blocks.slstm.cell import sLSTMCell_vanilla

    vanilla = sLSTMCell_vanilla(config(dtype=dtype))
    cell = SLSTMCell(vanilla, with_kernels=True, required=True)
    cell.compile_kernels()
    (asked,) = made
    assert asked.backend == "cuda" and asked.internal_input_shape == "SBNGH"
    assert asked.dtype == asked.dtype_w == asked.dtype_r == asked.dtype_s == asked.dtype_g == dtype
    assert asked.dtype_b == asked.dtype_a == "float32"
    assert all(parameter.dtype == torch.float32 for parameter in cell.parameters())


def test_kernels_that_do_not_compile(cell, monkeypatch, caplog):
    def broken(config):
        raise RuntimeError("Error building extension 'slstm'")

    monkeypatch.setattr("xlstm.blocks.slstm.cell.sLSTMCell_cuda", broken)
    with pytest.raises(ValueError, match=r"^backend=cuda: the kernels of xlstm cannot be compiled: Error building"):
        cell.compile_kernels()
    cell.required = False
    assert cell.compile_kernels() == () and not cell.with_kernels
    assert "plain torch, since the CUDA kernels cannot be compiled: Error building" in caplog.text


def test_what_the_kernels_need_is_named(monkeypatch, tmp_path):
    def pretend(capability, toolkit):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(cpp_extension, "CUDA_HOME", toolkit)

    pretend((7, 5), str(tmp_path))
    assert why_no_kernels() == "needs a GPU of compute capability 8.0 or more, this one has 7.5"
    for toolkit in (None, str(tmp_path)):
        pretend((9, 0), toolkit)
        assert re.match("needs the CUDA toolkit .bin/nvcc in the folder that CUDA_HOME names", why_no_kernels())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").touch()
    assert why_no_kernels() is None
    monkeypatch.setattr(torch.version, "cuda", None)  # as in a ROCm build
    assert why_no_kernels() == "needs an NVIDIA GPU and a CUDA build of torch"
