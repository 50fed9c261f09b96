"""Sampled completions: a function of seed, prompt and number alone, with the frequencies of softmax(logits / t)."""

import pytest
import torch

from seqlab.answers import GREEDY, Answer, Fault, Sampling, Steps

LOGITS = torch.tensor([2.0, 0.0, 1.0, -1.0])


def drawn(sampling, prompt=(1, 2), calls=3):
    choose = sampling.chooser(prompt)
    return torch.stack([choose(LOGITS.expand(sampling.number, -1)) for _ in range(calls)], 1)


def test_a_sample_does_not_depend_on_how_many_there_are():
    many = drawn(Sampling(50))
    assert torch.equal(drawn(Sampling(50)), many)
    assert torch.equal(drawn(Sampling(3)), many[:3])
    assert not torch.equal(drawn(Sampling(50, seed=2)), many)
    assert not torch.equal(drawn(Sampling(50), prompt=(2, 1)), many)
    assert not torch.equal(many[:, 0], many[:, 1])


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (3.0, None), (1.0, 2)])
def test_frequencies(temperature, top_k):
    number = 20_000
    kept = LOGITS if top_k is None else LOGITS.masked_fill(LOGITS.topk(top_k).values[-1] > LOGITS, -torch.inf)
    expected = (kept / temperature).softmax(0)
    found = drawn(Sampling(number, temperature, top_k), calls=1)[:, 0].bincount(minlength=4) / number
    assert (found - expected).abs().max() < 4 * (0.25 / number) ** 0.5
    assert (found[expected == 0] == 0).all()


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(1, top_k=1), Sampling(1, temperature=1e-6)])
def test_greedy(sampling):
    assert drawn(sampling).tolist() == [[0, 0, 0]]


def test_steps_and_answers_in_words():
    steps = Steps(["start"], ["a", "b", "c"], torch.tensor([[0.25, 0.5, 0.25]]))
    assert [outcome for outcome, _ in steps.best(3)[0]] == ["b", "a", "c"]
    assert Answer(["a"], ["b", "c"], "", [Fault(1, "x")]).text == "bc"
