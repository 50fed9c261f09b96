"""Sampling with state against re-reading the prefix, for every model, and against known distributions."""

import math
from dataclasses import replace

import pytest
import torch

from rule_extrapolation.baselines import Uniform
from seqlab.decode import greedy, sample
from tests.reference.decoding import Markov, sample_by_rereading
from tests.small_models import MODELS, lively, ragged_prompts, small_model, token_spec

ROOM = 9


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_sampling_equals_rereading_the_prefix(name, temperature):
    for seed in range(4):
        model = lively(small_model(name, token_spec(ROOM), seed=seed)).eval()
        rows, padded, lengths = ragged_prompts([3, 1, 6, 2, 9], seed=seed)
        ours, theirs = (torch.Generator().manual_seed(seed) for _ in range(2))
        decoded = sample(model, padded, lengths, max_length=ROOM, generator=ours, temperature=temperature)
        tokens, finished = sample_by_rereading(
            model, rows, max_length=ROOM, eos=1, pad=2, generator=theirs, temperature=temperature
        )
        assert torch.equal(decoded.tokens, tokens)
        assert torch.equal(decoded.finished, finished)


def test_the_uniform_baseline_equals_rereading_the_prefix():
    model = Uniform(token_spec(ROOM))
    rows, padded, lengths = ragged_prompts([3, 1, 6, 2, 9] * 20)
    ours, theirs = (torch.Generator().manual_seed(5) for _ in range(2))
    decoded = sample(model, padded, lengths, max_length=ROOM, generator=ours)
    tokens, finished = sample_by_rereading(model, rows, max_length=ROOM, eos=1, pad=2, generator=theirs)
    assert torch.equal(decoded.tokens, tokens) and torch.equal(decoded.finished, finished)
    assert finished.any() and not finished.all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, r"temperature=-1\.0 must be finite, and 0 \(greedy\) or above"),
        ({"temperature": math.nan}, "temperature=nan must be finite"),
        ({"temperature": math.inf}, "temperature=inf must be finite"),
        ({"top_k": 0}, "top_k=0 must be at least 1"),
        ({"top_p": 0.0}, r"top_p=0\.0 must be above 0 and at most 1"),
        ({"top_p": 1.1}, r"top_p=1\.1 must be above 0 and at most 1"),
    ],
)
def test_sampling_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        sample(
            Markov(torch.zeros(3, 3)),
            torch.tensor([[0]]),
            torch.tensor([1]),
            max_length=2,
            generator=torch.Generator(),
            **options,
        )


WEIGHTS = torch.tensor(  # not normalised; the row is the token before
    [[1, 2, 3, 4, 5.0], [5, 4, 3, 2, 1], [1, 1, 1, 1, 1], [8, 1, 0, 1, 2], [1, 9, 2, 4, 30]], dtype=torch.float64
)


def drawn(num_draws, **options):
    """How often each token follows each token, (before, next): every row of WEIGHTS is drawn from num_draws times."""
    before = torch.arange(5).repeat_interleave(num_draws)
    prompts = torch.stack([torch.zeros_like(before), before], 1)
    generator = torch.Generator().manual_seed(1)
    lengths = torch.full_like(before, 2)
    model = Markov(WEIGHTS.log().float())
    decoded = sample(model, prompts, lengths, max_length=3, generator=generator, **options)
    return torch.stack([following.bincount(minlength=5) for following in decoded.tokens[:, 2].view(5, num_draws)])


def assert_distributed(counts, weights):
    """Pearson's chi-square, row by row, below the 99.9% point of 4 degrees of freedom."""
    expected = weights / weights.sum(1, keepdim=True) * counts.sum(1, keepdim=True)
    assert (counts[expected == 0] == 0).all()
    chi_square = torch.where(expected > 0, (counts - expected) ** 2 / expected, 0).sum(1)
    assert (chi_square < 18.47).all(), chi_square


def test_sampling_normalises_over_the_vocabulary_of_each_row():
    counts = drawn(4000)
    assert_distributed(counts, WEIGHTS)
    with pytest.raises(AssertionError):  # the test would notice the published fault, a softmax along another axis
        assert_distributed(counts, WEIGHTS / WEIGHTS.sum(0))


@pytest.mark.parametrize("temperature", [0.0, -0.0, 5e-324, 1e-45, 1e-38, 1e-20])
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.5}])
def test_next_to_no_temperature_takes_the_most_probable(temperature, options):
    counts = drawn(20, temperature=temperature, **options)
    for row in (0, 1, 3, 4):  # all are equal in the other one
        assert counts[row, WEIGHTS[row].argmax()] == 20


@pytest.mark.parametrize("temperature", [1e20, 1e38, 1e39, 1e308])
def test_any_heat_draws_evenly_among_what_is_possible(temperature):
    possible = (WEIGHTS > 0).double()
    assert_distributed(drawn(4000, temperature=temperature), possible / possible.sum(1, keepdim=True))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power_of_the_probabilities(temperature):
    assert_distributed(drawn(4000, temperature=temperature), WEIGHTS ** (1 / temperature))


def test_top_k_draws_among_the_k_most_probable():
    kept = torch.tensor([[0, 0, 0, 4, 5.0], [5, 4, 0, 0, 0], [0, 0, 0, 0, 0], [8, 0, 0, 0, 2], [0, 9, 0, 0, 30]])
    counts = drawn(4000, top_k=2)
    told_apart = [0, 1, 3, 4]
    assert_distributed(counts[told_apart], kept[told_apart].double())
    assert (counts[2] > 0).sum() == 2  # two of five equal ones


def test_top_k_of_more_than_the_vocabulary_is_no_limit():
    assert torch.equal(drawn(1000, top_k=5), drawn(1000, top_k=99))
    assert_distributed(drawn(1000, top_k=99), WEIGHTS)


def test_top_p_draws_among_the_fewest_that_hold_so_much():
    """0.6 of (1, 2, 3, 4, 5) / 15 is held by 5 and 4 exactly; of (8, 1, 0, 1, 2) / 12 by the 8."""
    kept = torch.tensor([[0, 0, 0, 4, 5.0], [5, 4, 0, 0, 0], [0, 0, 0, 0, 0], [8, 0, 0, 0, 0], [0, 0, 0, 0, 30]])
    counts = drawn(4000, top_p=0.58)
    told_apart = [0, 1, 3, 4]
    assert_distributed(counts[told_apart], kept[told_apart].double())
    assert (counts[2] > 0).sum() == 3  # three of five equal ones hold 0.6
    assert torch.equal(drawn(1000, top_p=1.0), drawn(1000))
    assert (drawn(1000, top_p=1e-6) > 0).sum(1).tolist() == [1] * 5  # the most probable one stays


def test_top_p_counts_what_top_k_and_temperature_left():
    counts = drawn(4000, top_k=3, temperature=0.5, top_p=0.8)  # 9, 16, 25 of 50: 25 and 16 hold 0.82
    assert_distributed(counts[:1], torch.tensor([[0, 0, 0, 16.0, 25]]).double())


@pytest.mark.parametrize("name", MODELS)
def test_top_k_of_one_is_greedy(name):
    model = lively(small_model(name, replace(token_spec(ROOM), eos=4)))
    _, padded, lengths = ragged_prompts([3, 1, 6, 2, 9])
    sampled = sample(model, padded, lengths, max_length=ROOM, generator=torch.Generator(), top_k=1, temperature=9.0)
    expected = greedy(model, padded, lengths, max_length=ROOM)
    assert torch.equal(sampled.tokens, expected.tokens) and torch.equal(sampled.finished, expected.finished)


def test_sampling_is_a_function_of_the_generator():
    first, second, other = (
        sample(
            Markov(WEIGHTS.log().float()),
            torch.zeros(20, 1, dtype=torch.int64),
            torch.ones(20, dtype=torch.int64),
            max_length=ROOM,
            generator=torch.Generator().manual_seed(seed),
        ).tokens
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
