"""Mamba with signed eigenvalues: the parity that it can compute, and its backends against each other."""

import copy

import pytest
import torch

from seqlab.models.mamba import Mamba
from seqlab.spec import Classes, Spec, Tokens
from tests.native import need_native
from tests.small_models import token_spec

LENGTHS = torch.tensor([7, 40, 1, 0, 23, 40, 12])


def parity_model(eigenvalues, backend):
    """One layer, by hand: a one turns the state round, a zero leaves it; the state's sign is the parity."""
    spec = Spec(Tokens(2), Classes(2), max_length=9)
    model = Mamba(
        spec, d_model=3, num_layers=1, d_state=1, d_conv=1, expand=1, eigenvalues=eigenvalues, backend=backend
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        layer, mixer = model.backbone.layers[0], model.backbone.layers[0].mixer
        model.backbone.embedding.weight.copy_(torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
        for norm in (layer.norm, model.backbone.norm_f):
            norm.weight.fill_(3**-0.5)  # of vectors of length 1, RMSNorm is then the identity
        # channel 0 reads nothing; channel 1 has 1 for a one, channel 2 for a zero; each gate is open
        mixer.in_proj.weight[1, 1] = mixer.in_proj.weight[2, 2] = 20.0
        mixer.in_proj.weight[3:, 1:] = 20.0
        mixer.conv1d.weight.fill_(1.0)
        # step sizes: for a one so large that the decay is -1 (or 0), for a zero so small that it is 1
        mixer.x_proj.weight[0, 1], mixer.x_proj.weight[0, 2] = 2.0, -2.0
        mixer.dt_proj.weight.fill_(1.0)
        # the output is the state, which starts at 1 in every channel
        mixer.x_proj.weight[2, 1:] = 0.05
        mixer.out_proj.weight[0, 0] = 1.0
        model.lm_head.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))
    return model.eval()


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_one_layer_computes_parity_at_any_length_and_a_positive_one_does_not(backend):
    bits = torch.randint(2, (4, 300), generator=torch.Generator().manual_seed(0))
    parity, right = bits.cumsum(1) % 2, []
    for eigenvalues in ("signed", "positive"):
        model = parity_model(eigenvalues, backend)
        state = model.init_state(4)
        state = state._replace(scan_BLDN=torch.ones_like(state.scan_BLDN))
        with torch.no_grad():
            logits, _ = model.prefill(bits, state)
        right.append((logits.argmax(-1) == parity).float().mean().item())
    assert right[0] == 1.0 and right[1] < 0.6


def pair(eigenvalues):
    """The same lively model with both backends."""
    need_native()
    models = []
    for backend in ("torch", "native"):
        torch.manual_seed(0)
        model = Mamba(
            token_spec(), d_model=19, num_layers=2, d_state=5, d_conv=3, eigenvalues=eigenvalues, backend=backend
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1 or name.endswith("A_log"):
                    parameter.add_(0.5 * torch.randn_like(parameter))
                elif "embedding" in name:
                    parameter.mul_(50)
                if name.endswith("dt_proj.bias"):
                    parameter.add_(3)  # long steps, so that decays are far from 1
        models.append(model)
    return models


def packed_and_gradients(model, inputs):
    logits = model.packed(inputs, LENGTHS)
    weights = torch.linspace(-1, 1, logits.numel()).view_as(logits)
    return [logits.detach(), *torch.autograd.grad((logits * weights).sum(), list(model.parameters()))]


def errors(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [((one.double() - two).norm() / two.norm().clamp(min=1e-9)).item() for one, two in pairs]


def test_native_rows_are_as_near_to_float64_as_plain_ones():
    plain, native = pair("signed")
    inputs = torch.randint(7, (7, 40))
    exact = packed_and_gradients(copy.deepcopy(plain).double(), inputs)
    ours, theirs = (packed_and_gradients(model, inputs) for model in (native, plain))
    assert max(errors(ours, theirs)) < 1e-4
    for our_error, their_error in zip(errors(ours, exact), errors(theirs, exact), strict=True):
        assert our_error < 3 * their_error + 2e-5


def test_a_checkpoint_of_one_loads_into_the_other_and_says_something_else():
    inputs, logits = torch.randint(7, (7, 40)), []
    for eigenvalues in ("positive", "signed"):
        for model in pair(eigenvalues):
            logits.append(model(inputs))
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits[2], logits[3], rtol=1e-4, atol=1e-4)
    assert (logits[0] - logits[2]).abs().amax() > 0.01
