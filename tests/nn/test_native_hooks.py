"""A module with a hook, such as a pruned one, is called by every model: kernels would read its parameters past it."""

import pytest
import torch
from torch.nn.utils import prune

from seqlab.nn.native.choice import plain_torch
from tests.small_models import small_model, token_spec

PARTS = {  # model -> a module that the kernels stand in for, and its parameter
    "transformer": ("layers.0.attention.qkv", "weight"),
    "lstm": ("lstm", "weight_ih_l0"),
    "deep_lstm": ("layers.0", "weight_ih_l0"),
    "mamba": ("backbone.layers.0.mixer.in_proj", "weight"),
    "xlstm": ("stack.blocks.0.xlstm.proj_up", "weight"),
}
LENGTHS = torch.tensor([5, 3, 1])


@pytest.mark.parametrize("name", PARTS)
def test_a_pruned_model_trains_as_in_plain_torch(name):
    model = small_model(name, token_spec()).eval()
    part, parameter = PARTS[name]
    prune.random_unstructured(model.get_submodule(part), parameter, amount=0.5)
    inputs = torch.randint(0, 4, (3, 5))
    for _ in range(2):  # the hook computes the parameter anew
        with plain_torch():
            expected = model.packed(inputs, LENGTHS)
        out = model.packed(inputs, LENGTHS)
        assert torch.equal(out, expected)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        optimizer.zero_grad()
        out.square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", PARTS)
def test_a_hook_is_called(name):
    model, called = small_model(name, token_spec()).eval(), []
    module = model.get_submodule(PARTS[name][0])
    module.register_forward_hook(lambda *_: called.append(1))
    model.packed(torch.randint(0, 4, (3, 5)), LENGTHS)
    assert called
