"""Optimizers: what decays, and their steps against torch's own."""

import copy

import pytest
import torch
from torch import nn

from seqlab.optim import adamw, parameter_groups, rmsprop, sgd
from tests.small_models import MODELS, small_model, token_spec

# ours, its options, torch's and the options that mean the same
PAIRS = [
    (adamw, {"lr": 0.01, "weight_decay": 0.3}, torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
    (adamw, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1}, torch.optim.AdamW, {"betas": (0.5, 0.7), "eps": 0.1}),
    (sgd, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.3}, torch.optim.SGD, {"momentum": 0.9}),
    (sgd, {"lr": 0.01}, torch.optim.SGD, {}),
    (rmsprop, {"lr": 0.01, "alpha": 0.9, "weight_decay": 0.3}, torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-8}),
    (rmsprop, {"lr": 0.01, "eps": 0.1}, torch.optim.RMSprop, {"alpha": 0.99, "eps": 0.1}),
]
DEFAULT_DECAY = {adamw: 0.01, sgd: 0.0, rmsprop: 0.0}


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_exactly_one_group(name):
    model = small_model(name, token_spec())
    grouped = [id(parameter) for group in parameter_groups(model, 0.1) for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


def test_frozen_parameters_are_in_no_group():
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    assert [p is model.bias for group in parameter_groups(model, 0.1) for p in group["params"]] == [True]


def test_matrices_decay_and_biases_and_norms_do_not():
    """Names of a Transformer's parameters that a step without any gradient makes smaller."""
    model = small_model("transformer", token_spec())
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    adamw(model, lr=0.1, weight_decay=0.2).step()
    matrices = ("embedding.weight", "head.weight", "qkv.weight", "out.weight", "linear1.weight", "linear2.weight")
    values = dict(model.named_parameters())
    for name, value in values.items():
        expected = 1 - 0.1 * 0.2 if name.endswith(matrices) else 1.0
        torch.testing.assert_close(value.detach(), torch.full_like(value, expected), rtol=0, atol=1e-6, msg=name)
    assert sum(name.endswith(matrices) for name in values) == 2 + 2 * 4


def test_a_bias_of_two_dimensions_does_not_decay_either():
    model = small_model("linear", token_spec())
    decaying, others = parameter_groups(model, 0.1)
    assert [id(p) for p in others["params"]] == [id(model.bias_TV)]
    assert len(decaying["params"]) == 2


@pytest.mark.parametrize(("ours", "options", "theirs", "their_options"), PAIRS)
def test_steps_equal_those_of_torch(ours, options, theirs, their_options):
    model = small_model("transformer", token_spec())
    reference = copy.deepcopy(model)
    optimizer = ours(model, **options)
    matrices = [p for p in reference.parameters() if p.dim() >= 2]
    others = [p for p in reference.parameters() if p.dim() < 2]
    decay = options.get("weight_decay", DEFAULT_DECAY[ours])
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    expected = theirs(groups, lr=options["lr"], **their_options, foreach=False)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        for parameter, other in zip(model.parameters(), reference.parameters(), strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            other.grad = parameter.grad.clone()
        optimizer.step()
        expected.step()
    for parameter, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [adamw, sgd])
def test_the_fused_kernel_is_used(make):
    optimizer = make(nn.Linear(3, 2), lr=0.1)
    assert [group["fused"] for group in optimizer.param_groups] == [True, True]
