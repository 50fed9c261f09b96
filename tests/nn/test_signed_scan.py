"""The selective scan with signed eigenvalues: decays 2 exp(delta A) - 1 against the plain recurrence."""

import logging
from functools import partial

import pytest
import torch

from seqlab.nn.scan import chosen_backend, selective_scan
from tests.native import need_native
from tests.nn.test_scan import BACKENDS, SIZES, random_arguments, relative_errors, values_and_gradients
from tests.reference.scan import selective_scan as plain_scan

plain = partial(plain_scan, signed=True)


def signed_by(backend):
    return partial(selective_scan, eigenvalues="signed", backend=backend)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_equals_the_recurrence_in_values_and_gradients(backend, size):
    expected = values_and_gradients(plain, random_arguments(*size, torch.float64))
    assert max(relative_errors(values_and_gradients(signed_by(backend), random_arguments(*size)), expected)) < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_torch_equals_the_recurrence_in_float64(size):
    arguments = random_arguments(*size, torch.float64)
    expected = values_and_gradients(plain, arguments)
    assert max(relative_errors(values_and_gradients(signed_by("torch"), arguments), expected)) < 1e-13


def test_gradcheck_in_float64():
    arguments = random_arguments(2, 4, 3, 2, torch.float64)
    assert torch.autograd.gradcheck(signed_by("torch"), arguments, fast_mode=False)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_long_step_turns_the_state_round(backend):
    """exp(delta A) is 0, so the decay is -1: the state becomes its negative, step after step."""
    steps, h = 7, torch.ones(1, 3, 5)
    x, ones = torch.zeros(1, steps, 3), torch.ones(1, steps, 5)
    y, last = signed_by(backend)(x, torch.full_like(x, 1000.0), -torch.ones(3, 5), ones, ones, h)
    turned = -5 * (-1.0) ** torch.arange(steps)
    torch.testing.assert_close(y[0], turned[:, None].expand(-1, 3))
    torch.testing.assert_close(last, -h)


@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_with_the_state_between_them_equal_the_whole(backend):
    def in_chunks(x, delta, a, b, c, h):
        outputs = []
        for part in (slice(0, 1), slice(1, 6), slice(6, 9)):
            y, h = signed_by(backend)(x[:, part], delta[:, part], a, b[:, part], c[:, part], h)
            outputs.append(y)
        return torch.cat(outputs, 1), h

    arguments = random_arguments(2, 9, 16, 8)
    expected = values_and_gradients(signed_by(backend), arguments)
    assert max(relative_errors(values_and_gradients(in_chunks, arguments), expected)) < 1e-5


@pytest.mark.parametrize(("backend", "level"), [("auto", logging.INFO), ("cuda", logging.WARNING)])
def test_the_cuda_kernel_has_no_signed_eigenvalues(caplog, backend, level):
    chosen_backend.cache_clear()
    with caplog.at_level(logging.INFO, "seqlab.nn"):
        assert {chosen_backend(backend, "cuda", True) for _ in range(3)} == {"torch"}
    (record,) = caplog.records
    assert record.levelno == level and record.getMessage() == (
        f"selective scan on cuda: backend={backend} takes torch; the kernel of mamba_ssm has no signed eigenvalues"
    )
    chosen_backend.cache_clear()


def test_native_is_the_same_bit_for_bit_with_any_number_of_threads():
    need_native()
    before, results = torch.get_num_threads(), []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append(values_and_gradients(signed_by("native"), random_arguments(4, 34, 128, 32)))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, results[0] * 2, [*results[1], *results[2]]))
