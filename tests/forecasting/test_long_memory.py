"""The adding and the copy problem: what they ask, and what can be had without memory."""

import math

import pytest
import torch

from forecasting.long_memory import ADDING_TRIVIAL, adding, copy_trivial, copying


@pytest.mark.parametrize("length", [2, 7, 100])
def test_adding_marks_one_number_in_each_half_and_asks_for_their_sum(length):
    inputs, targets = adding(1, "train", 0, 500, length)
    assert inputs.shape == (500, length, 2) and targets.shape == (500, 1)
    numbers, marks = inputs.unbind(2)
    assert (marks[:, : length // 2].sum(1) == 1).all() and (marks[:, length // 2 :].sum(1) == 1).all()
    torch.testing.assert_close((numbers * marks).sum(1, keepdim=True), targets)
    assert numbers.min() >= 0 and numbers.max() < 1


def test_marks_fall_anywhere_in_their_half():
    marks = adding(1, "train", 0, 4000, 10).inputs[:, :, 1].mean(0)
    torch.testing.assert_close(marks, torch.full((10,), 0.2), rtol=0, atol=0.03)


def test_always_1_has_the_error_of_the_variance_and_not_the_cited_one():
    targets = adding(1, "test", 0, 200_000, 2).targets
    error = float((targets - 1).square().mean())
    assert error == pytest.approx(ADDING_TRIVIAL, abs=0.002)
    assert abs(error - 0.1767) > 0.005


@pytest.mark.parametrize("make", [adding, copying])
def test_a_sequence_is_a_function_of_seed_stream_and_index(make):
    whole = make(3, "train", 0, 20, 12)
    part = make(3, "train", 5, 4, 12)
    assert all(torch.equal(a[5:9], b) for a, b in zip(whole, part, strict=True))
    assert not torch.equal(make(3, "test", 0, 20, 12).inputs, whole.inputs)
    assert not torch.equal(make(4, "train", 0, 20, 12).inputs, whole.inputs)


@pytest.mark.parametrize("length", [1, 30])
def test_copying_asks_for_the_symbols_after_the_delimiter(length):
    inputs, targets = copying(1, "train", 0, 300, length)
    assert inputs.shape == targets.shape == (300, length + 20)
    assert inputs[:, :10].unique().tolist() == list(range(1, 9))
    assert (inputs[:, 10 : 9 + length] == 0).all() and (inputs[:, 9 + length] == 9).all()
    assert (inputs[:, 10 + length :] == 0).all()
    assert (targets[:, :-10] == 0).all() and torch.equal(targets[:, -10:], inputs[:, :10])


def test_without_memory_copying_costs_ten_times_ln_8_a_sequence():
    """A predictor that knows the places: blanks are certain, each symbol has one chance in eight."""
    targets = copying(1, "test", 0, 50, 100).targets
    nats = torch.where(targets == 0, 0.0, math.log(8)).mean()
    assert float(nats) == pytest.approx(copy_trivial(100), rel=1e-6)
