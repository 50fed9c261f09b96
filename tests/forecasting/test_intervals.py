"""The block bootstrap: its width on errors whose dependence is known."""

import pytest
import torch

from forecasting.intervals import block_bootstrap, block_length, mae_interval


def shuffled(number):
    """The numbers below `number` in some order, always the same."""
    return torch.randperm(number, generator=torch.Generator().manual_seed(1))


def bounds(errors, horizon):
    found = block_bootstrap(errors, horizon)
    assert found is not None
    return found


def test_independent_errors_have_the_interval_of_their_mean():
    errors = torch.randn(400, generator=torch.Generator().manual_seed(0)) + 5
    low, high = bounds(errors, horizon=1)
    half = 1.96 * float(errors.std()) / 20
    assert (low, high) == pytest.approx((float(errors.mean()) - half, float(errors.mean()) + half), abs=0.35 * half)


def test_errors_that_stay_for_a_horizon_are_worth_as_many_as_there_are_horizons():
    """40 independent values, each ten times in a row: three times as wide as if all 400 were independent."""
    values = torch.randn(40, generator=torch.Generator().manual_seed(1))
    low, high = bounds(values.repeat_interleave(10), horizon=10)
    assert (high - low) / 2 == pytest.approx(1.96 * float(values.std()) / 40**0.5, rel=0.3)
    naive = bounds(values.repeat_interleave(10)[shuffled(400)], horizon=1)
    assert high - low > 2 * (naive[1] - naive[0])


def test_it_is_a_function_of_the_errors_and_of_their_order():
    errors = torch.arange(60).double()
    assert block_bootstrap(errors, 5) == block_bootstrap(errors.clone(), 5)
    assert block_bootstrap(errors, 5) != block_bootstrap(errors[shuffled(60)], 5)
    assert block_bootstrap(errors + 100, 5) == pytest.approx([bound + 100 for bound in bounds(errors, 5)])


@pytest.mark.parametrize(("num", "horizon", "length"), [(52, 11, 11), (1006, 1, 10), (5, 8, 5)])
def test_a_block_is_a_horizon_or_the_cube_root(num, horizon, length):
    assert block_length(num, horizon) == length


def test_fewer_than_two_blocks_have_no_interval():
    assert block_bootstrap(torch.ones(21), horizon=11) is None
    assert mae_interval(torch.zeros(9, 8), torch.ones(9, 8)) == {}
    assert mae_interval(torch.zeros(16, 8), torch.ones(16, 8)) == {"mae_low": 1.0, "mae_high": 1.0}
