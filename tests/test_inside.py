"""Every domain shows the same things of one prompt: distributions, greedy and sampled completions, the best one."""

import pytest
import torch

from seqlab.answers import Sampling
from seqlab.errors import InputError
from seqlab.run.build import build

PROMPTS = {
    "L5": "( [",
    "recurrence": "1 1 2 3 5 8 13",
    "semiprimes": "34",
    "text": "ROMEO",
    "parity": "0 1 1",
    "copy": "1 2 3 4 5 6 7 8 1 2",
    "next_set": "a a b",
}
VALUES = {"series": "", "adding": "0.1 0.5* 0.2*"}
MODELS = {"semiprimes": ["bits_transformer", "binary_lstm"]}
PAIRS = [(data, model) for data in PROMPTS for model in MODELS.get(data, ["lstm"])]


@pytest.mark.parametrize(("data", "model"), PAIRS)
def test_distributions_and_completions(compose, data, model):
    run = build(compose(f"data={data}", f"model={model}"))
    task, model = run.task, run.model.eval()
    prompt = task.parse_prompt(PROMPTS[data])
    steps = task.steps(model, prompt)
    assert steps.probabilities.shape == (len(steps.places), len(steps.outcomes))
    assert ((steps.probabilities >= 0) & (steps.probabilities <= 1)).all()
    if data != "next_set":  # sets
        torch.testing.assert_close(steps.probabilities.sum(1), torch.ones(len(steps.places)), rtol=1e-4, atol=1e-5)
    (greedy,) = task.answers(model, prompt)
    if data not in ("text", "L5"):
        assert greedy.text in task.describe(model, prompt)
    assert [one.text for one in task.answers(model, prompt, Sampling(2, top_k=1))] == 2 * [greedy.text]
    several = task.answers(model, prompt, Sampling(4, seed=3))
    assert [one.text for one in task.answers(model, prompt, Sampling(2, seed=3))] == [one.text for one in several[:2]]
    assert len({one.text for one in several}) > 1
    assert all(0 <= fault.place <= len(one.prompt) + len(one.completion) for one in several for fault in one.faults)
    assert all(len(left) == len(steps.places) for left in task.rules_left(prompt).values())
    assert isinstance(task.best(prompt), str) and task.inputs(prompt).shape[0] == 1


@pytest.mark.parametrize("data", VALUES)
def test_values_have_no_distribution_and_say_so(compose, data):
    run = build(compose(f"data={data}", "model=lstm"))
    prompt = run.task.parse_prompt(VALUES[data])
    (answer,) = run.task.answers(run.model, prompt)
    assert answer.completion
    for asked in (lambda: run.task.steps(run.model, prompt), lambda: run.task.answers(run.model, prompt, Sampling(2))):
        with pytest.raises(InputError, match="has no distribution over what comes next") as raised:
            asked()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("data", "model"), PAIRS)
def test_prompts_to_click_on_are_prompts(compose, data, model):
    task = build(compose(f"data={data}", f"model={model}")).task
    assert all(task.parse_prompt(prompt) is not None for prompt in task.sample_prompts())
