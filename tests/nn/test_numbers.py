"""Numbers, differences, anchors and heads against loops in Python (tests/reference/numbers.py)."""

import math

import pytest
import torch

from seqlab.nn import anchors, pointer
from seqlab.nn.numbers import MISSING, Differences, NumberFeatures, number_table
from seqlab.nn.relative import RelativeHead, frequencies
from tests.reference import numbers as plain

TERMS = [[3, 250, 0, 7, 7, 255, 31, 64], [1, 2, 4, 8, 16, 32, 64, 128]]


def with_missing(terms, number):
    return torch.cat([torch.full((len(terms), number), MISSING), torch.tensor(terms)], 1)


@pytest.mark.parametrize(("low", "high", "size"), [(0, 255, 256), (-510, 255, 256), (-6, 6, 7), (0, 1, 2)])
def test_the_table_has_what_is_known_about_each_integer(low, high, size):
    bits = (high - low).bit_length()
    expected = [plain.features(value, size, bits) for value in range(low, high + 1)]
    torch.testing.assert_close(number_table(low, high, size), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_a_number_is_a_linear_map_of_its_row_and_a_vector_of_its_own():
    layer = NumberFeatures(-6, 6, 7, 5)
    row = torch.tensor(plain.features(-4, 7, 4))
    expected = layer.linear.weight @ row + layer.learned.weight[-4 + 6]
    torch.testing.assert_close(layer(torch.tensor([-4]))[0], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(layer(torch.tensor([7]))[0], layer.learned.weight[-1])  # a number that is not there


def test_few_numbers_and_many_are_read_alike():
    layer = NumberFeatures(0, 255, 256, 16)
    ids = torch.arange(256)
    many = layer(ids.repeat(2))[:256]
    few = torch.cat([layer(part) for part in ids.split(8)])
    torch.testing.assert_close(few, many, rtol=1e-5, atol=1e-5)
    assert 0.7 < many.std() < 1.6  # as large as a position
    for one, other in zip(
        torch.autograd.grad(few.square().sum(), list(layer.parameters())),
        torch.autograd.grad(many.square().sum(), list(layer.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_differences_are_those_of_the_terms():
    layer = Differences(256, 6).double()
    found = layer(with_missing(TERMS, 4))
    for row, terms in enumerate(TERMS):
        for t in range(len(terms)):
            expected = torch.zeros(6, dtype=torch.float64)
            for index, difference in enumerate(plain.DIFFERENCES):
                value = difference(terms, t)
                absent = layer.absent[index]
                expected += layer.parts[index](torch.tensor([absent if value is None else value]))[0]
            torch.testing.assert_close(found[row, t], expected, rtol=1e-9, atol=1e-9)


def test_the_largest_and_the_smallest_difference_have_rows():
    layer = Differences(256, 2)
    extremes = with_missing([[255, 0, 255, 0, 255], [0, 255, 0, 255, 0], [0, 255, 255, 0, 0]], 4)
    assert layer(extremes).shape == (3, 5, 2)


@pytest.mark.parametrize("look_back", [1, 3, 7])
def test_candidates_are_anchors_and_anchors_plus_earlier_residuals(look_back):
    found = anchors.candidates(with_missing(TERMS, look_back + 3), look_back)
    for row, terms in enumerate(TERMS):
        for t in range(len(terms)):
            expected = plain.candidates(terms, t, look_back)
            for a, line in enumerate(expected):
                for j, value in enumerate(line):
                    assert bool(found.known[row, t, a, j]) == (value is not None)
                    assert value is None or found.values[row, t, a, j] == value


def test_an_explanation_is_the_sum_that_the_candidate_is():
    terms, look_back = TERMS[0], 3
    found = anchors.candidates(with_missing([terms], look_back + 3), look_back)
    for a in range(len(anchors.ANCHORS)):
        for j in range(look_back + 1):
            text = anchors.explained(terms, a, j)
            assert eval(text.replace("x", "*")) == found.values[0, -1, a, j], text  # arithmetic of our own


def test_frequencies_are_spread_and_all_different():
    for size in (2, 3, 7, 127, 128, 129, 256, 1000):
        found = frequencies(size)
        assert len(found.unique()) == len(found) <= 64
        assert found[0] == 1 and found[-1] == max(1, size // 2)


def test_relative_logits_are_the_sum_over_anchors_and_frequencies():
    torch.manual_seed(1)
    head = RelativeHead(11, 3).double()
    torch.nn.init.uniform_(head.scale_K, 0.5, 2)
    coefficients = torch.randn(2, 4, head.num_coefficients, dtype=torch.float64)
    places = torch.randint(-30, 30, (2, 4, 3))
    found = head(coefficients, places)
    real, imaginary = coefficients.unflatten(-1, (3, 2, -1)).unbind(-2)
    for row in range(2):
        for t in range(4):
            weights = torch.complex(real, imaginary)[row, t].tolist()
            expected = plain.relative_logits(
                weights, head.scale_K.tolist(), frequencies(11).tolist(), places[row, t].tolist(), 11
            )
            torch.testing.assert_close(found[row, t], torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=1e-5)


def test_what_is_added_to_an_anchor_is_the_same_for_every_anchor():
    """With the same coefficients, an anchor that is larger by d shifts all logits by d, modulo size."""
    torch.manual_seed(1)
    head = RelativeHead(256, 1)
    coefficients = torch.randn(1, 1, head.num_coefficients)
    first, second = (head(coefficients, torch.tensor([[[place]]]))[0, 0] for place in (5, 5 + 100))
    torch.testing.assert_close(first.roll(100), second, atol=1e-4, rtol=1e-4)
    assert first.std() > 0.1


def test_a_mixture_is_the_candidates_and_the_logits():
    torch.manual_seed(1)
    values = torch.tensor([[[3, 3, 0, -1, 9, 2]]])
    known = torch.tensor([[[True, True, True, True, True, False]]])
    logits, scores = torch.randn(1, 1, 5, dtype=torch.float64), torch.randn(1, 1, 7, dtype=torch.float64)
    found = pointer.mixed(logits, scores, values, known)[0, 0]
    listed = [v if k else None for v, k in zip(values[0, 0].tolist(), known[0, 0].tolist(), strict=True)]
    expected = plain.mixture(logits[0, 0].tolist(), scores[0, 0].tolist(), listed)
    torch.testing.assert_close(found.exp(), torch.tensor(expected, dtype=torch.float64))
    assert found.exp().sum() == pytest.approx(1)
    torch.testing.assert_close(found.softmax(0), found.exp())  # log-probabilities are logits


def test_gradients_of_a_mixture_are_finite_where_nothing_is_copied_or_computed():
    logits = torch.tensor([[[0.0, 900.0, -900.0]]], requires_grad=True)
    for score in (-500.0, 500.0):
        scores = torch.tensor([[[score, 0.0]]], requires_grad=True)
        mixture = pointer.mixed(logits, scores, torch.tensor([[[2]]]), torch.tensor([[[True]]]))
        assert mixture.isfinite().all() and mixture[..., 0] < -60
        for gradient in torch.autograd.grad(mixture[..., 2].sum(), (logits, scores)):
            assert gradient.isfinite().all()


def test_candidates_that_cannot_be_have_no_weight():
    shares = pointer.weights(torch.zeros(4), torch.tensor([5, -1, 2]), torch.tensor([True, True, True]), 5)
    assert shares.tolist() == pytest.approx([0, 0, 0.5, 0.5]) and math.isclose(shares.sum(), 1)
