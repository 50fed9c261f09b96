"""Nats token by token against plain loops; perplexity and bits from sums."""

import math
import statistics
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import log_softmax

from lm.metrics import BLOCK, CHUNK, TextMetrics, TokenScores, text_results, token_scores
from seqlab.proportion import Proportion
from tests.small_models import MODELS, lively, small_model, token_spec

WINDOW = 9


def model_named(name):
    return lively(small_model(name, token_spec(WINDOW))).eval()


def random_ids(length):
    return torch.randint(7, (length,), generator=torch.Generator().manual_seed(length))


@torch.inference_mode()
def plain_scores(model, ids, stride):
    """Token t from its context alone: all before it, or all since the start of the window that tells it first."""
    length = len(ids) - 1
    starts = [0] if length <= WINDOW else sorted({*range(0, length - WINDOW, stride), length - WINDOW})
    nats, best = [], []
    for place in range(1, len(ids)):
        start = next(start for start in starts if place <= start + WINDOW)
        context = ids[:place] if model.endless_state else ids[start:place]
        state = model.init_state(1, max(len(context), WINDOW))
        logits = torch.stack([(out := model.step(token.view(1), state), state := out[1])[0][0] for token in context])
        nats.append(-log_softmax(logits[-1, 0], -1)[ids[place]])
        best.append(logits[-1, 0].argmax())
    return torch.stack(nats), torch.stack(best)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("length", "stride"), [(2, 4), (10, 4), (11, 4), (24, 4), (30, 9), (14, 1)])
def test_each_token_is_told_once_from_its_context(name, length, stride):
    model, ids = model_named(name), random_ids(length)
    found = token_scores(model, ids, stride=stride)
    nats, best = plain_scores(model, ids, stride)
    assert found.nats.shape == (length - 1,)
    assert torch.allclose(found.nats, nats, atol=1e-4)
    assert torch.equal(found.correct, best == ids[1:])


def test_a_carried_state_does_not_notice_the_chunks():
    model, ids = model_named("lstm"), random_ids(2 * CHUNK + 50)
    whole = -log_softmax(model(ids[None, :-1])[0], -1).gather(1, ids[1:, None])[:, 0]
    assert torch.allclose(token_scores(model, ids, stride=4).nats, whole, atol=1e-4)


def test_perplexity_and_bits_by_hand():
    assert text_results(nats=10 * math.log(8), tokens=10, characters=15, num_bytes=30) == pytest.approx(
        {"loss": math.log(8), "perplexity": 8.0, "bits_per_character": 2.0, "bits_per_byte": 1.0}
    )
    # the published pair 48 and 3.2 cannot both be true of a tokenizer with 2.55 characters a token
    assert text_results(math.log(48) * 100, 100, 255, 255)["bits_per_character"] == pytest.approx(2.19, abs=0.005)
    with pytest.raises(ValueError, match="nothing to measure"):
        text_results(0.0, 0, 0, 0)


def scores(*nats):
    """As many tokens, of which the first is right."""
    return TokenScores(torch.tensor(nats), torch.arange(len(nats)) == 0)


def test_sums_not_means_over_batches():
    metrics = TextMetrics()
    metrics.update(scores(*[1.0] * 90), ["x" * 90])
    metrics.update(scores(*[3.0] * 10), ["é" * 5])
    results = metrics.compute()
    assert results.pop("accuracy") == Proportion(2, 100)
    assert results == pytest.approx(text_results(120.0, 100, 95, 100))


def test_the_interval_of_perplexity_is_that_of_a_mean_over_blocks():
    """Of blocks of one size it is exp(mean +- 1.96 s / sqrt(n)); here from their means, by the standard library."""
    nats = torch.rand(30 * BLOCK, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nats += torch.linspace(0, 2, 30).repeat_interleave(BLOCK).double()
    metrics = TextMetrics()
    metrics.update(TokenScores(nats, nats > 1), ["x"])
    means = nats.view(30, BLOCK).mean(1).tolist()
    centre, spread = statistics.mean(means), 1.959964 * statistics.stdev(means) / math.sqrt(30)
    assert metrics.perplexity_interval() == pytest.approx((math.exp(centre - spread), math.exp(centre + spread)))
    parts = [TextMetrics() for _ in range(2)]
    for part, some in zip(parts, (nats[: 10 * BLOCK], nats[10 * BLOCK :]), strict=True):
        part.update(TokenScores(some, some > 1), ["x"])
    parts[0].merge_state(parts[1])
    assert parts[0].perplexity_interval() == pytest.approx(metrics.perplexity_interval())


def test_the_interval_of_perplexity_holds_the_true_one():
    """In 95 of 100 texts of blocks that differ; a last short block counts for what it holds."""
    generator, held = torch.Generator().manual_seed(1), 0
    for _ in range(200):
        levels = torch.randn(41, generator=generator).mul(0.3).add(4).repeat_interleave(BLOCK)[: 40 * BLOCK + 120]
        metrics = TextMetrics()
        metrics.update(TokenScores(levels, levels > 9), ["x"])
        low, high = metrics.perplexity_interval() or (0.0, 0.0)
        held += low <= math.exp(4) <= high
    assert 180 <= held <= 198


def test_one_block_has_no_interval():
    metrics = TextMetrics()
    metrics.update(scores(1.0, 2.0), ["ab"])
    assert metrics.perplexity_interval() is None


def test_partial_sums_of_several_processes_merge():
    parts = [TextMetrics() for _ in range(2)]
    parts[0].update(scores(1.0, 2.0), ["ab"])
    parts[1].update(scores(4.0), ["cdé"])
    parts[0].merge_state(parts[1])
    results = parts[0].compute()
    assert results.pop("accuracy") == Proportion(2, 3)
    assert results == pytest.approx(text_results(7.0, 3, 5, 6))


def test_a_longer_context_than_the_window_counts_for_a_carried_state():
    model = model_named("lstm")
    longer = small_model("lstm", replace(token_spec(WINDOW), max_length=30)).eval()
    longer.load_state_dict(model.state_dict())
    ids = random_ids(60)
    assert torch.allclose(token_scores(model, ids, stride=4).nats, token_scores(longer, ids, stride=15).nats, atol=1e-5)
