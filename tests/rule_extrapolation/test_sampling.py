"""Sampled completions: from the model's own distribution, repeatable, and counted prompt by prompt."""

import math
from itertools import product

import pytest
import torch

from rule_extrapolation.baselines import ConstantLogits
from rule_extrapolation.chance import chance
from rule_extrapolation.metrics import NAMES
from rule_extrapolation.sampling import sampled
from seqlab.errors import InputError
from seqlab.run.build import build
from tests.small_models import lively, small_model

SAMPLED = "data=L3", "model=lstm", "data.max_length=8", "task.temperature=1.0", "task.num_draws=3000"


@pytest.fixture
def task_of(compose):
    return lambda *overrides: build(compose(*overrides)).task


class Fair(ConstantLogits):
    """a, b and EOS are equally likely."""

    def __init__(self, spec):
        super().__init__(spec, [1, 3, 4])


def test_proportions_are_those_of_exact_chance(task_of):
    """Of a model that draws as chance does, within five standard errors of the draws."""
    task = task_of(*SAMPLED)
    results = task.evaluate(Fair(task.data.spec), "test")
    for group, prompts in task.prompts.items():
        exact = chance(task.grammar, prompts, task.max_length)
        for name in NAMES:
            share = results[f"test/{group}/{name}"]
            assert share.trials == 3000 * len(prompts)
            error = math.sqrt(exact[name] * (1 - exact[name]) / share.trials)
            assert abs(share.value - exact[name]) < 5 * error + 1e-9, (group, name)


@pytest.mark.slow
@torch.inference_mode()
def test_the_first_tokens_follow_the_softmax_of_a_real_model(task_of):
    task = task_of(*SAMPLED)
    model = lively(small_model("lstm", task.data.spec)).eval()
    for temperature in (0.5, 2.0):
        rows = sampled(model, [(3,), (4, 3)], max_length=8, temperature=temperature, num_draws=4000, seed=1)
        assert rows.tokens.shape == (8000, 9)
        for part, prompt in zip(rows.tokens.chunk(2), [(0, 3), (0, 4, 3)], strict=True):
            assert (part[:, : len(prompt)] == torch.tensor(prompt)).all()
            expected = (model(torch.tensor([prompt]))[0, -1] / temperature).softmax(-1)
            seen = torch.bincount(part[:, len(prompt)], minlength=5) / 4000
            assert (seen - expected).abs().max() < 5 * 0.5 / math.sqrt(4000)


@torch.inference_mode()
def test_draws_are_a_function_of_the_seed_and_not_all_the_same(task_of):
    words = "data=L3", "model=lstm", "task.temperature=1.0", "task.num_draws=4"
    (task, again, other) = (task_of(*words, f"seed={seed}") for seed in (1, 1, 2))
    model = lively(small_model("lstm", task.data.spec)).eval()
    first, second, third = (each.complete(model).tokens for each in (task, again, other))
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert len(first) == 4 * 17 and any(not torch.equal(first[4 * n], first[4 * n + 1]) for n in range(17))
    torch.rand(7)  # the global generator has no part in it
    assert torch.equal(task.complete(model).tokens, first)


@torch.inference_mode()
def test_records_have_each_draw_with_its_own_prompt(task_of):
    task = task_of("data=L3", "model=lstm", "task.temperature=1.0", "task.num_draws=3")
    records = task.examples(small_model("lstm", task.data.spec))
    prompts = ["".join(word) for word in product("ab", repeat=4)]
    assert sorted(record["prompt"] for record in records) == sorted([*prompts, ""] * 3)
    assert [record["set"] for record in records].count("sos") == 3
    assert "3 completions sampled at 1" in task.title()
    assert len(task.watch(small_model("lstm", task.data.spec))[1]["completions"].splitlines()) > 10


def test_greedy_is_the_default_and_a_bad_temperature_is_refused(task_of, compose):
    assert "sampled" not in task_of("data=L3").title()
    for value in ("0", "-1.0", ".inf"):
        with pytest.raises(InputError, match=r"task\.temperature="):
            build(compose("data=L3", f"task.temperature={value}"))
