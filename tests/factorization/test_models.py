"""sine_net and bits_transformer."""

import math

import pytest
import torch

from factorization.bits import to_bits
from factorization.models.bits_transformer import BitsTransformer
from factorization.models.sine_net import SineNet
from seqlab.model import num_parameters
from seqlab.optim import parameter_groups, rprop
from seqlab.spec import Bits, Classes, Spec, Tokens, Vectors

SPEC = Spec(Vectors(1), Bits(7), max_length=14, readout="last")
CLASSES = Spec(Vectors(3), Classes(25), max_length=5, readout="last")
MODELS = [SineNet, BitsTransformer]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("spec", [SPEC, CLASSES])
def test_shapes_and_gradients(make, spec):
    torch.manual_seed(0)
    model = make(spec)
    inputs = torch.randn(6, spec.max_length, spec.input.width)
    outputs = model(inputs)
    assert outputs.shape == (6, spec.output.width)
    (outputs * torch.randn(outputs.shape)).sum().backward()
    assert all((parameter.grad != 0).any() for parameter in model.parameters())
    model.eval()
    torch.testing.assert_close(model(inputs[:1]), model(inputs)[:1])


@pytest.mark.parametrize("make", MODELS)
def test_other_specs_are_refused(make):
    with pytest.raises(ValueError, match="reads a whole number"):
        make(Spec(Tokens(7), Classes(7), max_length=9))


def test_golden_numbers_of_parameters():
    assert num_parameters(SineNet(SPEC, hidden_dim=128)) == 128 * 15 + 7 * 129 == 2823
    assert num_parameters(BitsTransformer(SPEC)) == 151_559


def test_the_transformer_sees_every_bit_and_its_place():
    torch.manual_seed(0)
    model = BitsTransformer(SPEC).eval()
    inputs = torch.randint(2, (1, 14, 1)).float()
    plain = model(inputs)
    for place in range(14):
        changed = inputs.clone()
        changed[0, place] = 1 - changed[0, place]
        assert (model(changed) - plain).abs().max() > 1e-6
    swapped = torch.tensor([1.0, 0.0] + [0.0] * 12).view(1, 14, 1)
    assert (model(swapped) - model(swapped.roll(1, 1))).abs().max() > 1e-4


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"num_heads=5 does not divide d_model=16; allowed: \[1, 2, 4, 8, 16\]"):
        BitsTransformer(SPEC, d_model=16, num_heads=5)


def test_sine_units_can_be_residues():
    """Weights 2 pi 2^j / q make a unit the sine of N's residue: the mechanism that the explanation looks for."""
    model = SineNet(SPEC, hidden_dim=1)
    with torch.no_grad():
        model.sines.weight.copy_(2 * math.pi * 2.0 ** torch.arange(13, -1, -1) / 7 % (2 * math.pi))
        model.sines.bias.zero_()
        model.head.weight.fill_(1)
    numbers = torch.arange(1, 16_000, 37)
    outputs = model(to_bits(numbers, 14).float().unsqueeze(-1))[:, 0]
    torch.testing.assert_close(outputs, torch.sin(2 * math.pi * (numbers % 7) / 7), rtol=0, atol=1e-3)


def test_weight_decay_spares_the_frequencies():
    model = SineNet(SPEC)
    decaying, others = parameter_groups(model, 0.1)
    assert [id(parameter) for parameter in decaying["params"]] == [id(model.head.weight)]
    assert len(others["params"]) == 3


def test_rprop_is_torchs_with_a_penalty():
    """With weight_decay the step is that of torch's Rprop on the loss plus weight_decay / 2 times the squared norm."""
    x, target = torch.randn(30, 4), torch.randn(30, 3)
    ours, plain = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    plain.load_state_dict(ours.state_dict())
    optimizer, reference = rprop(ours, lr=0.01, weight_decay=0.3), torch.optim.Rprop(plain.parameters(), lr=0.01)
    for _ in range(20):
        for model, stepper, penalty in ((ours, optimizer, 0.0), (plain, reference, 0.15)):
            stepper.zero_grad()
            loss = (model(x) - target).square().mean() + penalty * model.weight.square().sum()
            loss.backward()
            stepper.step()
    torch.testing.assert_close(ours.weight, plain.weight)
    torch.testing.assert_close(ours.bias, plain.bias)
