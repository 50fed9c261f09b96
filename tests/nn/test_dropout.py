"""Dropout from 16 random bits an element: its shares, its scale, and that elements are independent."""

import pytest
import torch

from seqlab.nn.dropout import Dropout

PROBABILITIES = [0.01, 0.1, 0.25, 0.5, 0.9]
COUNT = 1_000_000


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def dropped(p, count=COUNT):
    return (Dropout(p)(torch.ones(count)) == 0).double()


@pytest.mark.parametrize("p", PROBABILITIES)
def test_drops_a_share_of_p_and_keeps_the_expectation(p):
    y = Dropout(p)(torch.ones(COUNT)).double()
    deviation = (p * (1 - p) / COUNT) ** 0.5
    assert abs((y == 0).double().mean() - p) < 4 * deviation + 2**-17
    assert abs(y.mean() - 1) < 4 * deviation / (1 - p)


@pytest.mark.parametrize("p", PROBABILITIES)
def test_what_stays_is_scaled_exactly_for_p_in_65536ths(p):
    x = torch.randn(1000, dtype=torch.float64)
    y = Dropout(p)(x)
    kept = 1 - round(p * 65536) / 65536
    assert abs(1 - kept - p) <= 2**-17
    torch.testing.assert_close(y[y != 0], x[y != 0] / kept, rtol=1e-14, atol=0)


def test_four_draws_of_one_random_word_have_equal_shares_and_are_independent():
    zero = dropped(0.3).view(-1, 4)
    assert (zero.mean(0) - 0.3).abs().max() < 4 * (0.21 / len(zero)) ** 0.5
    correlation = torch.corrcoef(torch.cat([zero[:-1], zero[1:]], 1).T)  # within a word and with the next one
    assert (correlation - torch.eye(8)).abs().max() < 5 / len(zero) ** 0.5


def test_rows_differ():
    y = Dropout(0.5)(torch.ones(50, 64))
    assert len(torch.unique(y, dim=0)) == 50


def test_off_in_evaluation_mode_and_for_p_zero():
    x = torch.randn(5, 7)
    assert torch.equal(Dropout(0.9).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


@pytest.mark.parametrize("p", [1.0, 0.999_999])
def test_drops_all_where_p_rounds_to_one(p):
    assert torch.equal(Dropout(p)(torch.randn(1000)), torch.zeros(1000))


def test_a_function_of_the_seed():
    x, layer = torch.ones(1000), Dropout(0.3)
    first, second = layer(x), layer(x)
    torch.manual_seed(0)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5,), (2, 3, 7), (0,), (3, 0, 2)])
def test_shapes_that_do_not_fill_words(shape):
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


def test_the_last_elements_of_an_odd_shape_are_drawn_too():
    zero = torch.stack([Dropout(0.5)(torch.ones(7)) == 0 for _ in range(2000)]).double()
    assert (zero.mean(0) - 0.5).abs().max() < 4 * (0.25 / 2000) ** 0.5


def test_the_gradient_is_the_mask():
    x = torch.full((1000,), 3.0, requires_grad=True)
    y = Dropout(0.3)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert (gradient == 0).any()
    torch.testing.assert_close(gradient, y.detach() / 3)


def test_does_not_write_into_its_input():
    x = torch.ones(100)
    Dropout(0.5)(x)
    assert (x == 1).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_keeps_the_dtype_and_the_draws(dtype):
    reference = Dropout(0.25)(torch.ones(1000))
    torch.manual_seed(0)
    y = Dropout(0.25)(torch.ones(1000, dtype=dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), reference, rtol=2**-8, atol=0)
