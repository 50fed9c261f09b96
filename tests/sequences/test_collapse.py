"""Two features and post-norm: the published design can say two things at most, whatever its weights."""

import pytest
import torch

from seqlab.run.build import build
from sequences.task import inputs_of


@pytest.fixture
def run(compose):
    return build(compose("data=recurrence", "experiment=recurrence_2d", full=True))


def test_layer_norm_over_two_features_leaves_a_sign():
    norm = torch.nn.LayerNorm(2, eps=1e-5)
    out = norm(torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)) * 5)
    far = (out.abs() - 1).abs() < 1e-2
    assert far.all(1).float().mean() > 0.9
    assert torch.allclose(out[:, 0], -out[:, 1], atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_logits_have_rank_one_and_at_most_two_classes_are_predicted(run, scale):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.mul_(scale).add_(0.1 * torch.randn_like(parameter))
    terms = run.datamodule.val_samples.terms[:500]
    with torch.inference_mode():
        logits = run.model(inputs_of(terms)).flatten(0, 1).double()
    centred = logits - run.model.head.bias.double()
    # the last norm leaves weight * (s, -s) + bias: a line in the plane, so a line in the logits
    singular = torch.linalg.svdvals(centred - centred.mean(0))
    assert singular[1] < 1e-5 * torch.linalg.norm(logits)
    assert len(logits.argmax(1).unique()) <= 3  # the ends of that line, and a point between


def test_the_input_is_the_value_and_the_position(run):
    pair = run.model.positions(run.model.embedding(torch.tensor([[0, 51, 255]])), start=5)
    assert torch.allclose(pair, torch.tensor([[[0.0, 5 / 7], [0.2, 6 / 7], [1.0, 1.0]]]))
    with pytest.raises(ValueError, match="8 positions"):
        run.model(torch.zeros(1, 9, dtype=torch.int64))


def test_the_default_model_predicts_more(compose):
    run = build(compose("data=recurrence", full=True))
    with torch.inference_mode():
        logits = run.model(inputs_of(run.datamodule.val_samples.terms[:500])).flatten(0, 1).double()
    assert torch.linalg.matrix_rank(logits - logits.mean(0), rtol=1e-4) > 20
