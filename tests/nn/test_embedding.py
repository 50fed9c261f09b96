"""Input layers: what a Spec asks for is what a model gets."""

import math

import pytest
import torch

from seqlab.contract.measure import random_inputs
from seqlab.nn.embedding import FourierFeatures, ScalarInput, input_layer
from seqlab.nn.numbers import NumberFeatures
from seqlab.spec import Classes, Spec, Tokens
from tests.small_models import MODELS, small_model


def spec(embedding, size=256):
    return Spec(Tokens(size, embedding), Classes(size), max_length=8)


def test_fourier_features_are_sines_and_cosines_of_sixteen_waves():
    layer = input_layer(spec("fourier"), 64)
    ids = torch.tensor([[0, 1, 200]])
    features = torch.tensor(
        [
            [math.sin(2 * math.pi * k * x / 256) for k in range(1, 17)]
            + [math.cos(2 * math.pi * k * x / 256) for k in range(1, 17)]
            for x in (0, 1, 200)
        ]
    )
    assert torch.allclose(layer(ids)[0], layer.linear(features), atol=1e-5)
    assert "table" not in layer.state_dict()


def test_scalar_input_is_a_line():
    layer = input_layer(spec("scalar"), 4)
    out = layer(torch.tensor([[0, 51, 255]]))[0]
    assert torch.allclose(out[1], out[0] + 0.2 * (out[2] - out[0]), atol=1e-6)
    assert torch.allclose(out[0], layer.linear.bias)


def test_a_pair_needs_positions():
    with pytest.raises(ValueError, match="embedding=pair needs a model with positions"):
        input_layer(spec("pair"), 2)
    with pytest.raises(ValueError, match="d_model=16 must be 2"):
        small_model("transformer", spec("pair"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("embedding", ["fourier", "number", "scalar"])
def test_every_model_reads_integers(model, embedding):
    built = small_model(model, spec(embedding)).eval()
    assert any(isinstance(module, FourierFeatures | NumberFeatures | ScalarInput) for module in built.modules())
    ids = random_inputs(built.spec, 3, 8)
    logits = built(ids)
    assert logits.shape == (3, 8, 256)
    state, steps = built.init_state(3, 8), []
    for place in range(8):
        step, state = built.step(ids[:, place], state)
        steps.append(step)
    assert torch.allclose(torch.stack(steps, 1), logits, atol=1e-5)
