"""Products of matrices by the kernel against float64 and torch: values, gradients, layouts, threads."""

import pytest
import torch
from torch.nn import functional

from seqlab.nn.native.product import crossed, linear, matmul, product, times
from tests.native import needs_native

# rows, terms, columns: below, at and above a vector, a tile, a panel and the terms that are summed at once
SIZES = [
    (1, 1, 1),
    (7, 5, 33),
    (12, 64, 32),
    (6, 16, 16),
    (13, 129, 17),
    (97, 257, 31),
    (400, 64, 65),
    (50, 1000, 3),
    (0, 4, 5),
    (4, 5, 0),
    (3, 0, 4),
]


def layouts(matrix):
    """The same matrix by rows, by columns, and as every second number of a larger one."""
    return matrix, matrix.t().contiguous().t(), matrix.repeat_interleave(2, 0).repeat_interleave(2, 1)[::2, ::2]


def matrices(rows, terms, columns):
    torch.manual_seed(rows + terms + columns)
    return torch.randn(rows, terms), torch.randn(terms, columns), torch.randn(columns)


@needs_native
@pytest.mark.parametrize(("rows", "terms", "columns"), SIZES)
def test_the_kernel_is_as_exact_as_float32_allows(rows, terms, columns):
    a, b, bias = matrices(rows, terms, columns)
    exact = a.double() @ b.double()
    # of a sum in a row, whose rounding grows with the number of terms
    bound = 2**-23 * (terms + 1) * (a.abs().double() @ b.abs().double() + bias.abs()) + 1e-30
    for left in layouts(a):
        for right in layouts(b):
            out = product(left, right)
            assert out.is_contiguous()
            assert ((out - exact).abs() <= bound).all()
            assert ((product(left, right, bias) - (exact + bias)).abs() <= bound).all()


@needs_native
def test_other_rows_and_threads_change_no_bit():
    a, b, bias = matrices(331, 300, 75)
    whole = product(a, b, bias)
    for first, stop in [(0, 1), (5, 17), (95, 97), (330, 331), (0, 330)]:
        assert torch.equal(product(a[first:stop], b, bias), whole[first:stop])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(product(a, b, bias), whole)
    finally:
        torch.set_num_threads(before)


@needs_native
def test_what_is_not_finite_stays_in_its_row_and_column():
    a, b, _ = matrices(30, 40, 50)
    a[3, 7], b[8, 45] = torch.nan, torch.inf
    expected = torch.isfinite(a @ b)
    assert torch.equal(torch.isfinite(product(a, b)), expected)
    assert not expected.all()
    assert expected.any()


LARGE = (300, 96, 120)  # for the kernel
SMALL = (5, 96, 120)  # for torch


@pytest.mark.parametrize("size", [pytest.param(LARGE, marks=needs_native), SMALL])
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_and_its_gradients_are_those_of_torch(size, has_bias):
    rows, _, columns = size
    x, weight, bias = matrices(*size)
    weight = weight.t().contiguous()
    parts = [x, weight, *([bias] if has_bias else [])]
    cotangent = torch.randn(rows, columns)

    def gradients(function, dtype):
        leaves = [part.to(dtype).requires_grad_() for part in parts]
        out = function(*leaves)
        return [out.detach(), *torch.autograd.grad((out * cotangent.to(dtype)).sum(), leaves)]

    exact = gradients(functional.linear, torch.float64)
    for ours, theirs in zip(gradients(linear, torch.float32), exact, strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [pytest.param(LARGE, marks=needs_native), SMALL])
def test_matmul_and_its_gradients_are_those_of_torch(size):
    a, b, _ = matrices(*size)
    for left in layouts(a):
        for right in layouts(b):
            both = [left.clone().requires_grad_(), right.clone().requires_grad_()]
            out = matmul(left.detach().requires_grad_(), right)
            torch.testing.assert_close(out, left @ right, rtol=1e-4, atol=1e-4)
            ours = torch.autograd.grad(matmul(*both).square().sum(), both)
            theirs = torch.autograd.grad((both[0] @ both[1]).square().sum(), both)
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("columns", [7, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@needs_native
def test_products_without_a_gradient_are_those_of_torch(columns, dtype):
    a, b = torch.randn(500, 60, dtype=torch.float64), torch.randn(500, columns, dtype=torch.float64)
    left, right = a.to(dtype), b.to(dtype)
    close = {"rtol": 2e-2, "atol": 0.5} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-4}
    assert crossed(left, right).dtype == dtype
    torch.testing.assert_close(crossed(left, right).double(), a.t() @ b, **close)
    torch.testing.assert_close(times(right, right.t()).double(), b @ b.t(), **close)


@needs_native
def test_under_autocast_the_product_is_torch_s():
    x, weight, _ = matrices(*LARGE)
    weight = weight.t().contiguous()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(linear(x, weight), functional.linear(x, weight))
        assert torch.equal(matmul(x, weight.t()), x @ weight.t())
        assert linear(x, weight).dtype == torch.bfloat16


@needs_native
@pytest.mark.parametrize(
    "bias",
    [torch.ones(1), torch.arange(240.0)[::2], torch.ones(1).expand(120), torch.ones(120)],
    ids=["one", "steps", "expanded", "plain"],
)
def test_a_bias_of_another_layout_is_torch_s(bias):
    x, weight, _ = matrices(*LARGE)
    weight = weight.t().contiguous()
    torch.testing.assert_close(linear(x, weight, bias), functional.linear(x, weight, bias), rtol=1e-4, atol=1e-4)


@needs_native
def test_a_bias_that_does_not_fit_is_refused_as_torch_does():
    x, weight, _ = matrices(*LARGE)
    with pytest.raises(RuntimeError):
        linear(x, weight.t().contiguous(), torch.ones(3))


@needs_native
def test_a_matrix_whose_sign_is_still_to_be_turned():
    a, b, _ = matrices(*LARGE)
    lazy = torch.complex(a, a).conj().imag
    assert lazy.is_neg()
    torch.testing.assert_close(matmul(lazy, b), -(a @ b), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(times(lazy, b), -(a @ b), rtol=1e-4, atol=1e-4)
