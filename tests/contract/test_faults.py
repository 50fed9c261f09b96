"""Each check of seqlab.contract finds its fault: models with one fault each, and the checks that they fail."""

import pytest
import torch

from seqlab.contract import CHECKS, outcomes
from seqlab.contract.measure import difference, leaves, subject_of
from tests.contract import faulty_models as models
from tests.contract.faulty_models import MeanState
from tests.small_models import token_spec

# A fault of the outputs fails wherever outputs are compared.
STEPPING = {"steps against the whole", "chunks against the whole"}
FAULTS = {
    models.Average: set(),
    models.Reread: set(),
    models.StartsAtZero: set(),
    models.SeesTheFuture: {"no leak from the future", *STEPPING, "padding has no effect"},
    models.StepBehind: {"each step sees its input"},
    models.LastStepOnly: set(CHECKS)
    - {"a state is tensors", "the room of a state", "gradients in every parameter", "saved and loaded"}
    - {"built without memory"},
    models.BatchNormed: {"no leak from the future", "a row alone against the batch"},
    models.MixesRows: {"a row alone against the batch", "padding has no effect"},
    models.StaleState: STEPPING,
    models.ForgetsBeforeAChunk: {"chunks against the whole"},
    models.InPlace: {"a state is a value"},
    models.OnTheModule: {"a state is a value", "chunks against the whole"},
    models.DictState: {"a state is tensors", "a state is a value", "chunks against the whole", "the room of a state"},
    models.GrowingState: {"the room of a state"},
    models.WithoutEnd: {"the room of a state"},
    models.ReadsPadding: {"padding has no effect"},
    models.DeadParameter: {"gradients in every parameter"},
    models.RootOfZero: {"gradients in every parameter", "bfloat16"},
    models.HiddenTensor: {"saved and loaded"},
    models.AlwaysDropout: {"the same in evaluation", *STEPPING, "a row alone against the batch", "saved and loaded"}
    | {"padding has no effect", "a state is a value", "float64", "bfloat16"},
    models.Float32Inside: {"float64"},
    models.RoundsAway: {"bfloat16"},
    models.ReadsItsWeights: {"built without memory"},
}


def failed(model_class):
    """The outcomes of the checks that a model fails."""
    subject = subject_of(lambda: model_class(token_spec()))
    return {name: found for name, found in outcomes(subject) if not found.passed}


@pytest.mark.parametrize(("model_class", "checks"), FAULTS.items(), ids=[model.__name__ for model in FAULTS])
def test_a_fault_is_found_by_the_checks_that_are_for_it(model_class, checks):
    found = failed(model_class)
    assert set(found) == checks
    assert all(outcome.measured and outcome.cause for outcome in found.values())


def test_every_check_finds_a_fault():
    assert set().union(*FAULTS.values()) == set(CHECKS)


@pytest.mark.parametrize(
    ("model_class", "check", "measured", "cause"),
    [
        (models.SeesTheFuture, "no leak from the future", "in evaluation", "a convolution padded on both sides"),
        (models.BatchNormed, "no leak from the future", "in training", "batch norm"),
        (models.BatchNormed, "a row alone against the batch", "in training", "batch norm"),
        (models.MixesRows, "a row alone against the batch", "in evaluation", "over the batch"),
        (models.StaleState, "steps against the whole", "off by ", "returns no updated state"),
        (
            models.DeadParameter,
            "gradients in every parameter",
            "; not forgotten.weight, forgotten.bias",
            "does not use them",
        ),
        (models.RootOfZero, "gradients in every parameter", "; not head.bias", "a root or logarithm of zero"),
        (
            models.LastStepOnly,
            "shapes of outputs",
            "(1, 7) in float32, expected (1, 1, 7) in float32",
            "steps are missing",
        ),
        (models.DictState, "a state is tensors", "TypeError: dict in the state is neither", "the model raises this"),
        (models.StepBehind, "each step sees its input", "least effect 0.0e+00, at step 0", "shifted by a step"),
        (models.Float32Inside, "float64", "RuntimeError: ", "the model raises this"),
    ],
)
def test_what_was_measured_and_the_likely_cause_are_said(model_class, check, measured, cause):
    found = failed(model_class)[check]
    assert measured in found.measured and cause in found.cause


def test_what_differs_is_measured_against_the_largest_value():
    assert difference(torch.tensor([100.0, 1.0]), torch.tensor([100.0, 2.0])) == pytest.approx(0.01)
    assert difference(torch.zeros(2), torch.zeros(2)) == 0
    for value in (torch.nan, torch.inf):
        assert difference(torch.tensor([value]), torch.tensor([1.0])) == torch.inf
    with pytest.raises(ValueError, match=r"outputs \(1,\) where \(2,\) are expected"):
        difference(torch.zeros(1), torch.zeros(2))


def test_a_state_has_its_batch_first():
    state = MeanState(torch.zeros(3, 8), torch.zeros(3))
    assert len(leaves(MeanState(state, torch.zeros(3)), 3)) == 3
    for wrong in (MeanState(torch.zeros(3, 8), torch.zeros(2)), MeanState(torch.zeros(3), torch.tensor(0)), (1, 2), []):
        with pytest.raises(TypeError):
            leaves(wrong, 3)
