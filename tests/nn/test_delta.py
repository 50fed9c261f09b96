"""The delta rule chunk by chunk against its loop, in values and gradients, and against transformers."""

import pytest
import torch
from torch.nn.functional import normalize

from seqlab.nn.chunks import CHUNK
from seqlab.nn.delta import delta_rule
from tests.reference.delta import delta_rule as plain_rule

TIMES = [1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]


def random_arguments(time, *, batch=2, heads=3, width=4, values=5, most=2.0, dtype=torch.float64, seed=0):
    """Queries, keys of length 1, values, beta in 0 .. most, and a memory."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    tensors = [
        normal(batch, time, heads, width),
        normalize(normal(batch, time, heads, width), dim=-1),
        normal(batch, time, heads, values),
        most * torch.sigmoid(2 * normal(batch, time, heads)),
        normal(batch, heads, width, values),
    ]
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def values_and_gradients(function, arguments):
    results = function(*arguments)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(result.shape, generator=generator).to(result.dtype) for result in results]
    loss = sum((result * weight).sum() for result, weight in zip(results, weights, strict=True))
    return [*(result.detach() for result in results), *torch.autograd.grad(loss, arguments)]


def relative_errors(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [((one.double() - two.double()).norm() / two.double().norm()).item() for one, two in pairs]


@pytest.mark.parametrize("most", [1.0, 2.0])
@pytest.mark.parametrize("time", TIMES)
def test_equals_the_loop_in_values_and_gradients(time, most):
    arguments = random_arguments(time, most=most)
    expected = values_and_gradients(plain_rule, arguments)
    assert max(relative_errors(values_and_gradients(delta_rule, arguments), expected)) < 1e-12
    rounded = random_arguments(time, most=most, dtype=torch.float32)
    assert max(relative_errors(values_and_gradients(delta_rule, rounded), expected)) < 1e-4


def test_gradcheck_in_float64():
    assert torch.autograd.gradcheck(delta_rule, random_arguments(4, batch=1, heads=2, width=3, values=2))


def test_chunks_with_the_memory_between_them_equal_the_whole():
    *steps, memory = random_arguments(90)
    expected, last = delta_rule(*steps, memory)
    outputs = []
    for part in (slice(0, 1), slice(1, 70), slice(70, 90)):
        output, memory = delta_rule(*(tensor[:, part] for tensor in steps), memory)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), expected)
    torch.testing.assert_close(memory, last)


def test_a_whole_step_overwrites_and_a_double_one_turns_round():
    """beta = 1 stores the value under its key; beta = 2 and no value reflects the memory at the key."""
    key, value = torch.tensor([0.6, 0.8]).view(1, 1, 1, 2), torch.tensor([3.0, -1.0]).view(1, 1, 1, 2)
    one, memory = torch.ones(1, 1, 1), torch.tensor([[2.0, 5.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    output, _ = delta_rule(key, key, value, one, memory)
    torch.testing.assert_close(output, value)
    before, _ = delta_rule(key, key, value, 0 * one, memory)
    after, turned = delta_rule(key, key, 0 * value, 2 * one, memory)
    torch.testing.assert_close(after, -before)
    again, back = delta_rule(key, key, 0 * value, 2 * one, turned)
    torch.testing.assert_close(again, before)
    torch.testing.assert_close(back, memory)


def test_under_autocast_the_memory_keeps_its_type():
    arguments = random_arguments(9, dtype=torch.float32)
    expected = delta_rule(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = delta_rule(*arguments)
    assert all(map(torch.equal, results, expected))


def test_equals_the_rule_of_transformers():
    """Its gated delta rule with a gate that keeps everything; it divides queries by the root of the width."""
    name = "transformers.models.qwen3_next.modeling_qwen3_next"
    theirs = pytest.importorskip(name, reason="extra `hf_models`: transformers").torch_recurrent_gated_delta_rule
    q, k, v, beta, memory = (tensor.detach() for tensor in random_arguments(50, values=4, dtype=torch.float32))
    gate = torch.zeros_like(beta)
    expected, last = theirs(q * 2, k, v, gate, beta, initial_state=memory, output_final_state=True)
    output, ours = delta_rule(q, k, v, beta, memory)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours, last, rtol=1e-4, atol=1e-4)
