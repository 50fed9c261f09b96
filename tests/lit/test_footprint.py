"""The memory estimate: by hand for one linear layer, and nothing of the task changed."""

import pytest
import torch

from seqlab.lit.footprint import LiveBytes, estimate
from seqlab.lit.module import Module
from seqlab.run.build import build
from seqlab.schedule import ConstantRate
from seqlab.task import Task


class Batches:
    """Every batch is a view of a large block, as a BlockStream's are."""

    steps_per_epoch = None

    def train_batch(self, step):
        return torch.ones(1000, 7)[:5]


class Regression(Task):
    def loss(self, model, batch):
        return model(batch).relu().sum()

    def evaluate(self, model, split):
        return {}

    def title(self):
        return "regression"

    def baselines(self):
        return {}

    def examples(self, model):
        return []

    def parse_prompt(self, text):
        return text

    def describe(self, model, prompt):
        return prompt


def module_of(optimizer, model):
    return Module(model=model, task=Regression(Batches()), optimizer=optimizer, schedule=ConstantRate(), seed=0)


@pytest.mark.parametrize(
    ("optimizer", "state"),
    [
        (lambda model: torch.optim.SGD(model.parameters(), lr=1.0), 0),
        (lambda model: torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9), 4 * 24),
        (lambda model: torch.optim.AdamW(model.parameters(), lr=1.0), 4 * (2 * 24 + 2)),  # and two counts of steps
    ],
)
def test_a_linear_layer_by_hand(optimizer, state):
    """7 -> 3 with bias: 24 numbers. Saved: the input (5, 7) for the weight's gradient, the output (5, 3) for ReLU's."""
    parts = estimate(module_of(optimizer, torch.nn.Linear(7, 3)))
    assert parts.pop("temporaries") == 0  # what so small a step makes is less than its input and the gradients
    assert parts == {
        "weights": 4 * 24,
        "gradients": 4 * 24,
        "optimizer": state,
        "activations": 4 * (5 * 7 + 5 * 3),
    }


def test_a_weight_that_the_graph_saves_is_no_activation():
    """7 -> 3 -> 2: saved are input (5, 7), hidden (5, 3), output (5, 2) and the second weight."""
    model = torch.nn.Sequential(torch.nn.Linear(7, 3), torch.nn.Linear(3, 2))
    parts = estimate(module_of(lambda m: torch.optim.SGD(m.parameters(), lr=1.0), model))
    assert parts["activations"] == 4 * (5 * 7 + 5 * 3 + 5 * 2)


def test_a_frozen_weight_has_no_gradient_and_a_buffer_counts():
    model = torch.nn.Linear(7, 3)
    model.weight.requires_grad_(False)
    model.register_buffer("extra", torch.zeros(10))
    parts = estimate(module_of(lambda m: torch.optim.SGD([m.bias], lr=1.0), model))
    assert parts.pop("temporaries") > 0
    assert parts == {"weights": 4 * 34, "gradients": 4 * 3, "optimizer": 0, "activations": 4 * 5 * 3}


def test_live_bytes_are_counted_from_making_to_end():
    with LiveBytes() as live:
        a = torch.zeros(100)
        b = a + 1
        view = b.view(10, 10)
        del a, b
        assert live.now == 400
        c = view.t().contiguous()
    assert (live.now, live.peak) == (800, 800)
    del view, c
    assert (live.now, live.peak) == (0, 800)


def test_neither_weights_nor_randomness_nor_mode_change(compose):
    run = build(compose("model.dropout=0.5"))
    run.model.eval()
    weights = {name: value.clone() for name, value in run.model.state_dict().items()}
    random = torch.get_rng_state()
    estimate(run.module)
    assert torch.equal(torch.get_rng_state(), random)
    assert not run.model.training
    assert all(parameter.grad is None for parameter in run.model.parameters())
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
