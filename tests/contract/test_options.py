"""What seqlab.model promises, for options that make another model of the same YAML."""

import pytest
import torch

from seqlab.contract import CHECKS, outcome
from seqlab.contract.measure import Subject, random_inputs
from tests.small_models import small_model, token_spec

OPTIONS = [
    ("mamba", {"eigenvalues": "signed"}),
    *[("transformer", {"positions": each}) for each in ("none", "learned", "rotary", "alibi", "random")],
    ("lstm", {"cell": "gru"}),
    ("lstm", {"cell": "rnn"}),
    ("xlstm", {"slstm_at": []}),
    ("xlstm", {"slstm_at": [0, 1]}),
    ("xlstm", {"slstm_at": [1], "d_conv": 0}),
    ("deltanet", {"eigenvalues": "signed", "num_heads": 2}),
    ("mamba2", {"eigenvalues": "signed"}),
]


@pytest.fixture(params=OPTIONS, ids=lambda case: f"{case[0]}-{'-'.join(map(str, case[1].values()))}")
def make(request):
    name, options = request.param
    return lambda seed=2: small_model(name, token_spec(), seed=seed, **options)


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check, make):
    subject = Subject(make, make(seed=0).eval(), random_inputs(token_spec(), 3, 9))
    found = outcome(CHECKS[check], subject)
    assert found.passed, f"{found.measured}. {found.cause}"


def packed_and_gradients(model, inputs, lengths):
    logits = model.packed(inputs, lengths)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    return [logits.detach(), *torch.autograd.grad((logits * weights).sum(), list(model.parameters()))]


def test_packed_rows_have_the_gradients_of_a_model_in_float64(make):
    """Which takes no native kernels."""
    model, inputs, lengths = make().eval(), random_inputs(token_spec(), 5, 9), torch.tensor([9, 1, 0, 4, 9])
    ours, exact = packed_and_gradients(model, inputs, lengths), packed_and_gradients(model.double(), inputs, lengths)
    for one, other in zip(ours, exact, strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm() + 1e-6
