"""Schedules against tables worked out by hand."""

from math import sqrt
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seqlab.schedule import ConstantRate, InverseSqrt, WarmRestarts, WarmupCosine

CONF = Path(__file__).parents[1] / "conf" / "schedule"

# schedule -> {position: multiplier}; the n-th position is n - 1
TABLES = [
    (InverseSqrt(warmup=4), {0: 1 / 4, 1: 1 / 2, 2: 3 / 4, 3: 1.0, 4: sqrt(0.8), 8: 2 / 3, 15: 1 / 2, 99: 1 / 5}),
    (InverseSqrt(warmup=1), {0: 1.0, 1: sqrt(0.5), 3: 1 / 2, 24: 1 / 5}),
    (InverseSqrt(warmup=100), {0: 0.01, 49: 0.5, 99: 1.0, 399: 0.5, 9999: 0.1}),
    (ConstantRate(), {0: 1.0, 1: 1.0, 10**6: 1.0}),
    (ConstantRate(warmup=0), {0: 1.0}),
    (ConstantRate(warmup=1), {0: 1.0, 1: 1.0}),
    (
        WarmupCosine(warmup=2, total=10, floor=0.0),
        {0: 1 / 2, 1: 1.0, 2: 1.0, 4: (1 + sqrt(1 / 2)) / 2, 6: 1 / 2, 8: (1 - sqrt(1 / 2)) / 2, 10: 0.0, 99: 0.0},
    ),
    (WarmupCosine(warmup=0, total=4, floor=0.2), {0: 1.0, 2: 0.6, 4: 0.2, 5: 0.2}),
    (WarmRestarts(total=7, floor=0.0), {0: 1.0, 1: 1.0, 2: 0.5, 3: 1.0, 5: 0.5, 7: 0.0, 99: 0.0}),
    (WarmRestarts(total=8, cycles=2, factor=1.0, floor=0.2), {0: 1.0, 2: 0.6, 4: 1.0, 6: 0.6, 8: 0.2, 99: 0.2}),
    (WarmRestarts(total=6, cycles=1, warmup=2, floor=0.0), {0: 0.5, 1: 1.0, 2: 1.0, 4: 0.5, 6: 0.0}),
    (ConstantRate(warmup=4), {0: 1 / 4, 1: 1 / 2, 2: 3 / 4, 3: 1.0, 4: 1.0, 99: 1.0}),
]


@pytest.mark.parametrize(("schedule", "table"), TABLES, ids=[repr(schedule) for schedule, _ in TABLES])
def test_hand_tables(schedule, table):
    assert {position: schedule(position) for position in table} == pytest.approx(table, rel=1e-12)


@pytest.mark.parametrize("schedule_class", [InverseSqrt, ConstantRate])
def test_the_unit_is_steps_unless_it_says_epochs(schedule_class):
    assert schedule_class(warmup=3).unit == "step"
    assert schedule_class(warmup=3, unit="epoch").unit == "epoch"


@pytest.mark.parametrize("made", [WarmupCosine, WarmRestarts])
def test_the_end_follows_the_unit(made):
    """A run of 50 steps of 8 an epoch has seven epochs, the last one short."""
    by_step = made(warmup=0, run_steps=50).in_run(8)
    assert (by_step(49) > 1e-3, by_step(50)) == (True, 1e-3)
    by_epoch = made(warmup=0, run_steps=50, unit="epoch").in_run(8)
    assert (by_epoch(0), by_epoch(6) > 1e-3, by_epoch(7)) == (1.0, True, 1e-3)
    assert by_epoch == made(warmup=0, run_steps=50, unit="epoch", total=7)
    own = made(warmup=0, run_steps=50, unit="epoch", total=3).in_run(8)
    assert (own(2) > 1e-3, own(3)) == (True, 1e-3)
    with pytest.raises(ValueError, match=r"schedule\.total=null needs schedule\.run_steps"):
        made(warmup=0)


@given(st.integers(1, 10_000), st.integers(0, 10**9))
def test_rises_to_one_at_the_end_of_the_warm_up_and_falls_after_it(warmup, position):
    schedule = InverseSqrt(warmup=warmup)
    here, there = schedule(position), schedule(position + 1)
    assert 0 < here <= 1
    assert (here < there) if position + 1 < warmup else (here > there)
    assert schedule(warmup - 1) == 1
    # continues without a jump: four times the position, half the rate
    assert schedule(4 * warmup - 1) == pytest.approx(0.5)


@given(st.integers(1, 10_000), st.integers(0, 10**9))
def test_constant_warms_up_as_inverse_square_root_does(warmup, position):
    expected = InverseSqrt(warmup=warmup)(position) if position < warmup else 1.0
    assert ConstantRate(warmup=warmup)(position) == pytest.approx(expected)


def test_as_the_multiplier_of_a_torch_optimizer():
    """The first step is taken with a quarter of the rate: not with none, and not with the whole."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=8.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, InverseSqrt(warmup=4))
    moves = []
    for _ in range(5):
        before = parameter.item()
        parameter.grad = torch.ones(1)
        optimizer.step()
        scheduler.step()
        moves.append(before - parameter.item())
    assert moves == pytest.approx([2, 4, 6, 8, 8 * sqrt(0.8)])


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_schedule_has_a_table(name):
    target = OmegaConf.load(CONF / f"{name}.yaml")._target_.rpartition(".")[2]
    if target not in {type(schedule).__name__ for schedule, _ in TABLES}:
        pytest.fail(
            f"conf/schedule/{name}.yaml has no row in TABLES of tests/test_schedule.py: add {target}(...) with some "
            "positions and the multipliers that you work out for them on paper"
        )
