"""The recurrence of Mamba 2 chunk by chunk against its loop, in values and gradients."""

import pytest
import torch

from seqlab.nn.chunks import CHUNK, from_chunks, in_chunks
from seqlab.nn.ssd import decayed_sums
from tests.nn.test_delta import TIMES, relative_errors, values_and_gradients
from tests.reference.ssd import decayed_sums as plain_sums


def random_arguments(time, *, signed=True, dtype=torch.float64, batch=2, heads=3, width=4, states=5):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    decay = torch.sigmoid(2 * normal(batch, time, heads))
    tensors = [
        normal(batch, time, heads, width),
        2 * decay - 1 if signed else decay,
        normal(batch, time, states),
        normal(batch, time, states),
        normal(batch, heads, width, states),
    ]
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("time", TIMES)
def test_equals_the_loop_in_values_and_gradients(time, signed):
    arguments = random_arguments(time, signed=signed)
    expected = values_and_gradients(plain_sums, arguments)
    assert max(relative_errors(values_and_gradients(decayed_sums, arguments), expected)) < 1e-12
    rounded = random_arguments(time, signed=signed, dtype=torch.float32)
    assert max(relative_errors(values_and_gradients(decayed_sums, rounded), expected)) < 1e-4


def test_a_decay_of_zero_forgets_and_has_a_gradient():
    x, decay, b, c, state = random_arguments(9)
    with torch.no_grad():
        decay[:, 4] = 0
    arguments = [x, decay, b, c, state]
    expected = values_and_gradients(plain_sums, arguments)
    assert max(relative_errors(values_and_gradients(decayed_sums, arguments), expected)) < 1e-12


def test_gradcheck_in_float64():
    assert torch.autograd.gradcheck(decayed_sums, random_arguments(4, batch=1, heads=2, width=2, states=2))


def test_chunks_with_the_state_between_them_equal_the_whole():
    *steps, state = random_arguments(90)
    expected, last = decayed_sums(*steps, state)
    outputs = []
    for part in (slice(0, 1), slice(1, 70), slice(70, 90)):
        output, state = decayed_sums(*(tensor[:, part] for tensor in steps), state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), expected)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("time", TIMES)
def test_what_is_cut_into_chunks_comes_back(time):
    x = torch.randn(2, time, 3, 4)
    chunks = in_chunks(x)
    assert chunks.shape[3] <= CHUNK and chunks.shape[0] * chunks.shape[3] < time + len(chunks)
    assert torch.equal(from_chunks(chunks, time), x)
