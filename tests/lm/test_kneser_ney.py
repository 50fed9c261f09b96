"""Kneser-Ney n-grams against a worked example, a plain implementation and the laws of probability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm import kneser_ney
from lm.kneser_ney import KneserNey, discounts
from tests.reference.kneser_ney import PlainKneserNey


def test_a_bigram_by_hand():
    # a b a b a c: bigrams ab 2, ba 2, ac 1. Before a stands b; before b, a; before c, a: continuation counts 1, 1, 1.
    a, b, c, d = range(4)
    model = KneserNey(np.array([a, b, a, b, a, c]), 2, vocabulary_size=4)
    # One bigram is seen once, two twice, none three times: all bigrams lose 1 / (1 + 2 x 2) = 1/5.
    # All continuation counts are 1, none is 2: they lose 1 / (1 + 0) = 1, so unigrams are uniform, 1/4.
    # p(b|a) = (2 - 1/5)/3 + (2/5)/3 x 1/4, p(c|a) = (1 - 1/5)/3 + ..., p(d|a) = (2/5)/3 x 1/4; c has no follower.
    expected = {(a, b): 1.8 / 3 + 0.1 / 3, (a, c): 0.8 / 3 + 0.1 / 3, (a, d): 0.1 / 3, (c, a): 1 / 4}
    for pair, probability in expected.items():
        assert np.exp(-model.nats(np.array(pair))[1]) == pytest.approx(probability)
    assert np.exp(-model.nats(np.array([d]))[0]) == pytest.approx(1 / 4)


def test_three_discounts_by_hand():
    # n1 = 4, n2 = 2, n3 = 1, n4 = 1: Y = 1/2, 1 - 2 Y 2/4, 2 - 3 Y 1/2, 3 - 4 Y 1/1
    assert discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9])).tolist() == [0, 0.5, 1.25, 1.0]


def test_discounts_where_counts_of_counts_are_zero():
    assert discounts(np.array([1, 1, 2, 5])).tolist() == [0, 0.5, 0.5, 0.5]
    assert discounts(np.array([2, 2, 3])).tolist() == [0, 0.5, 0.5, 0.5]


@given(
    st.lists(st.integers(0, 4), min_size=4, max_size=120),
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_equal_to_a_plain_implementation(train, test, order):
    plain = PlainKneserNey(train, order, 6)
    np.testing.assert_allclose(KneserNey(np.array(train), order, 6).nats(np.array(test)), plain.nats(test), rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_long_text_is_measured_in_parts(monkeypatch, order):
    train, test = (np.random.default_rng(seed).integers(0, 6, 50) for seed in (0, 1))
    model = KneserNey(train, order, 6)
    whole = model.nats(test)
    monkeypatch.setattr(kneser_ney, "POSITIONS_AT_ONCE", 7)
    np.testing.assert_array_equal(model.nats(test), whole)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_after_any_context(order):
    generator = np.random.default_rng(order)
    train = generator.zipf(1.5, 5000) % 30
    model = KneserNey(train, order, vocabulary_size=35)
    contexts = [train[100:104], np.array([34, 3, 0, 1]), np.array([], dtype=np.int64), generator.integers(0, 35, 2)]
    for context in contexts:
        rows = [np.exp(-model.nats(np.array([*context, id]))[-1]) for id in range(35)]
        assert sum(rows) == pytest.approx(1)
        assert min(rows) > 0


def test_type_of_ids_does_not_matter():
    ids = np.arange(200) % 7
    model, small = KneserNey(ids, 3, 7), KneserNey(ids.astype(np.uint16), 3, 7)
    np.testing.assert_array_equal(model.nats(ids), small.nats(ids.astype(np.uint8)))


def test_no_ids_no_nats():
    assert KneserNey(np.array([1, 0, 1]), 2, 2).nats(np.array([], dtype=np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("train", "order", "size", "message"),
    [
        ([0, 1, 2], 2, 2, r"ids 0 \.\. 2 must be within 0 \.\. 1"),
        ([0, 1], 3, 2, "2 ids are too few for order=3"),
        ([0, 1], 0, 2, r"order=0 must be 1 \.\. 63 for 2 ids"),
        ([0, 1], 4, 65536, r"order=4 must be 1 \.\. 3 for 65,536 ids"),
    ],
)
def test_what_cannot_be_modelled_is_refused(train, order, size, message):
    with pytest.raises(ValueError, match=message):
        KneserNey(np.array(train), order, size)
