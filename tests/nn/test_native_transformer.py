"""The native kernels of the Transformer against plain torch in float64, in values and gradients."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, layer_norm, relu

from seqlab.nn.native.transformer import NO_DROP, Activation, Attention, Drop, ResidualNorm, new_drop
from tests.native import needs_native
from tests.reference.dropout import dropout_mask

pytestmark = needs_native

LENGTHS = [3, 1, 40, 2, 17, 33]
SEED = 2**61 + 12345
DROPS = [NO_DROP, Drop(SEED, 0.3)]


def gradients(outputs, inputs, directions):
    """The gradients of the sum of outputs times directions."""
    total = sum((output.double() * direction).sum() for output, direction in zip(outputs, directions, strict=True))
    return torch.autograd.grad(total, inputs)


def assert_near(ours, plain, tolerance):
    """Each tensor within a tolerance, relative to the norm of the plain one."""
    for one, other in zip(ours, plain, strict=True):
        assert one.shape == other.shape
        distance = (one.double() - other).norm() / other.norm().clamp(min=1e-6)
        assert distance < tolerance, f"{distance:.1e}"


def twice(function, plain, inputs, tolerance):
    """Compare outputs and gradients of a function in its own types with a plain one in float64."""
    torch.manual_seed(1)
    doubles = [tensor.detach().double().requires_grad_() for tensor in inputs]
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    # a kernel may write over its input
    ours, expected = function(*(tensor * 1 for tensor in inputs)), plain(*doubles)
    directions = [torch.randn_like(output) for output in expected]
    assert_near(ours, expected, tolerance)
    assert_near(gradients(ours, inputs, directions), gradients(expected, doubles, directions), tolerance)


def plain_attention(qkv, lengths, num_heads, drop):
    """Softmax of masked scores, row by row and head by head."""
    rows = []
    first, num_tokens = 0, sum(lengths)
    for length in lengths:
        q, k, v = qkv[first : first + length].view(length, 3, num_heads, -1).permute(1, 2, 0, 3)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
        masks = [
            dropout_mask(drop.seed, range(head * num_tokens + first, head * num_tokens + first + length), length,
                         drop.probability)
            for head in range(num_heads)
        ]  # fmt: skip
        out = (scores.softmax(-1) * torch.stack(masks)) @ v
        rows.append(out.transpose(0, 1).flatten(1))
        first += length
    return (torch.cat(rows),)


def starts_of(lengths):
    return torch.tensor([0, *lengths]).cumsum(0)


@pytest.mark.parametrize("drop", DROPS, ids=["no dropout", "dropout"])
@pytest.mark.parametrize(("num_heads", "width"), [(1, 1), (3, 5), (2, 8), (2, 16), (1, 20), (1, 72)])
def test_attention(num_heads, width, drop):
    torch.manual_seed(0)
    qkv = 2 * torch.randn(sum(LENGTHS), 3 * num_heads * width)
    twice(
        lambda qkv: (Attention.apply(qkv, starts_of(LENGTHS), num_heads, drop),),
        lambda qkv: plain_attention(qkv, LENGTHS, num_heads, drop),
        [qkv],
        2e-6,
    )


def test_attention_in_bfloat16():
    torch.manual_seed(0)
    qkv = torch.randn(sum(LENGTHS), 3 * 24, dtype=torch.bfloat16)
    twice(
        lambda qkv: (Attention.apply(qkv, starts_of(LENGTHS), 2, DROPS[1]),),
        lambda qkv: plain_attention(qkv, LENGTHS, 2, DROPS[1]),
        [qkv],
        1e-2,
    )


def test_attention_over_thousands_of_steps():
    torch.manual_seed(0)
    lengths = [5000, 3]
    qkv = torch.randn(sum(lengths), 3 * 8)
    twice(
        lambda qkv: (Attention.apply(qkv, starts_of(lengths), 1, NO_DROP),),
        lambda qkv: plain_attention(qkv, lengths, 1, NO_DROP),
        [qkv],
        1e-5,
    )


def test_attention_to_large_scores():
    """The largest score is subtracted before the exponential."""
    torch.manual_seed(0)
    qkv = 30 * torch.randn(20, 3 * 8)
    out = Attention.apply(qkv, starts_of([20]), 1, NO_DROP)
    assert_near([out], plain_attention(qkv.double(), [20], 1, NO_DROP), 1e-4)


@pytest.mark.parametrize("drop", DROPS, ids=["no dropout", "dropout"])
@pytest.mark.parametrize("width", [1, 8, 27, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_residual_norm(width, drop, dtype):
    torch.manual_seed(0)
    num_rows = 300  # more than two blocks
    inputs = [torch.randn(num_rows, width), torch.randn(num_rows, width, dtype=dtype)]
    inputs += [torch.randn(width) for _ in range(3)]

    def plain(x, branch, bias, weight, shift):
        total = x + (branch + bias) * dropout_mask(drop.seed, range(num_rows), width, drop.probability)
        return total, layer_norm(total, (width,), weight, shift, eps=1e-3)

    twice(
        lambda x, branch, bias, weight, shift: ResidualNorm.apply(x, branch, bias, weight, shift, 1e-3, dtype, drop),
        plain,
        inputs,
        2e-6 if dtype == torch.float32 else 1e-2,
    )


def test_norm_without_a_branch():
    torch.manual_seed(0)
    x, weight, shift = 3 + torch.randn(50, 20), torch.randn(20), torch.randn(20)
    twice(
        lambda x, weight, shift: ResidualNorm.apply(x, None, None, weight, shift, 1e-5, torch.float32, NO_DROP),
        lambda x, weight, shift: (x, layer_norm(x, (20,), weight, shift)),
        [x, weight, shift],
        2e-6,
    )


@pytest.mark.parametrize("drop", DROPS, ids=["no dropout", "dropout"])
@pytest.mark.parametrize("function", [relu, gelu])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activation(function, drop, dtype):
    torch.manual_seed(0)
    num_rows, width = 300, 43
    inputs = [2 * torch.randn(num_rows, width, dtype=dtype), torch.randn(width)]
    mask = dropout_mask(drop.seed, range(num_rows), width, drop.probability)
    twice(
        lambda x, bias: (Activation.apply(x, bias, function is gelu, drop),),
        lambda x, bias: (function(x + bias) * mask,),
        inputs,
        2e-6 if dtype == torch.float32 else 1e-2,
    )


def test_gelu_far_from_zero():
    x = torch.linspace(-12, 12, 1001).unsqueeze(1)
    assert (Activation.apply(x, torch.zeros(1), True, NO_DROP) - gelu(x.double())).abs().max() < 1e-6


def test_dropout_keeps_its_share_and_follows_the_generator():
    layer = nn.Dropout(0.25)
    ones = torch.ones(1000, 999)
    kept = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        kept.append(Activation.apply(ones.clone(), torch.zeros(999), False, new_drop(layer)))
    assert torch.equal(kept[0], kept[1]) and not torch.equal(kept[0], kept[2])
    assert set(kept[0].unique().tolist()) == {0.0, kept[0].max().item()} and abs(kept[0].max() - 4 / 3) < 1e-6
    share = (kept[0] > 0).double()
    assert abs(share.mean() - 0.75) < 0.003  # seven standard deviations
    assert (share.mean(0) - 0.75).abs().max() < 0.08 and (share.mean(1) - 0.75).abs().max() < 0.08
    both = ((kept[0] > 0) & (kept[2] > 0)).double()
    assert abs(both.mean() - 0.75**2) < 0.003
    assert new_drop(layer.eval()) == NO_DROP


def test_dropout_of_nearly_everything_is_computed():
    dropped = Activation.apply(torch.ones(10, 8), torch.zeros(8), False, new_drop(nn.Dropout(1 - 1e-10)))
    assert torch.equal(dropped, torch.zeros(10, 8))


def test_the_same_bits_with_any_number_of_threads():
    torch.manual_seed(0)
    lengths = list(range(1, 60))
    num_tokens = sum(lengths)
    tensors = [torch.randn(num_tokens, width, requires_grad=True) for width in (72, 24, 24, 64)]
    vectors = [torch.randn(width, requires_grad=True) for width in (24, 24, 24, 64)]
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            qkv, x, branch, hidden = (tensor * 1 for tensor in tensors)
            bias, weight, shift, wide_bias = vectors
            outputs = (
                Attention.apply(qkv, starts_of(lengths), 3, DROPS[1]),
                *ResidualNorm.apply(x, branch, bias, weight, shift, 1e-5, torch.float32, DROPS[1]),
                Activation.apply(hidden, wide_bias, False, DROPS[1]),
            )
            directions = [torch.full_like(output, 0.5) for output in outputs]
            results.append([*outputs, *torch.autograd.grad(outputs, [*tensors, *vectors], directions)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(results[0], other, strict=True))
