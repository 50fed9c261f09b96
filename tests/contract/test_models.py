"""What seqlab.model promises, for every model of conf/model: see tests/contract/conftest.py for how they are made."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from seqlab.contract import CHECKS, outcome
from seqlab.contract.measure import Subject, by_steps, changed, leaves, random_inputs
from seqlab.model import SequenceModel, clone, num_parameters
from seqlab.run.build import construct
from seqlab.run.config import composed
from tests.small_models import MODEL_DIR, MODELS, small_model, vector_spec

GOLDEN_FILE = Path(__file__).parents[1] / "golden" / "num_parameters.json"


def test_there_are_models():
    assert {"transformer", "lstm", "linear"} <= set(MODELS)


def assert_close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check, name, spec, model, inputs):
    """What seqlab check checks."""
    subject = Subject(lambda: small_model(name, spec, seed=2), model, inputs)
    found = outcome(CHECKS[check], subject)
    assert found.passed, f"{found.measured}. {found.cause}"


def test_is_a_sequence_model_with_its_spec(model, spec):
    assert isinstance(model, SequenceModel)
    assert model.spec == spec


def test_can_be_built_without_memory(name, model, spec):
    """A file is held against the model that it declares before that model takes room (seqlab/run/build.py)."""
    with torch.device("meta"):
        declared = small_model(name, spec).state_dict()
    assert all(tensor.is_meta for tensor in declared.values())


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (1, 9), (3, 5), (3, 9)])
def test_output_shapes(model, spec, batch, time):
    width = spec.output.width
    inputs = random_inputs(spec, batch, time)
    logits = model(inputs)
    assert logits.shape == (batch, time, width) and logits.dtype == torch.float32
    chunk, state = model.prefill(inputs, model.init_state(batch, spec.max_length))
    assert chunk.shape == (batch, time, width)
    if time < spec.max_length:
        assert model.step(inputs[:, 0], state)[0].shape == (batch, width)


def test_the_present_has_a_large_effect(model, spec, inputs):
    logits = model(inputs)
    for start in range(inputs.shape[1]):
        assert (model(changed(inputs, spec, start))[:, start] - logits[:, start]).abs().amax() > 1e-5


def test_no_gradient_from_the_future_or_from_other_rows(name):
    model = small_model(name, vector_spec()).eval()
    inputs = random_inputs(model.spec, 3, 9).requires_grad_()
    logits = model(inputs)
    for time in range(9):
        (gradient,) = torch.autograd.grad(logits[1, time].sum(), inputs, retain_graph=True)
        size = gradient.abs().sum(-1)
        assert (size[1, : time + 1] > 0).all(), f"output {time} sees only some of its past"
        assert (size[1, time + 1 :] == 0).all() and (size[[0, 2]] == 0).all()


def test_whole_sequences_equal_steps_equal_two_chunks_in_float64(model, inputs):
    model.double()
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    batch, time = inputs.shape[:2]
    whole = model(inputs)
    assert_close(by_steps(model, inputs, model.init_state(batch, time))[0], whole, 1e-12)
    for split in range(1, time):
        first, state = model.prefill(inputs[:, :split], model.init_state(batch, time))
        second, _ = model.prefill(inputs[:, split:], state)
        assert_close(torch.cat([first, second], 1), whole, 1e-12)


@pytest.mark.parametrize("lengths", [(9, 9, 9), (4, 9, 1), (2, 0, 3)])
def test_packed_rows_are_the_real_steps_alone(model, spec, inputs, lengths):
    """In values and gradients; what stands behind a row's end has no effect."""
    lengths = torch.tensor(lengths)
    real = torch.arange(inputs.shape[1]) < lengths[:, None]
    other = torch.where(real.unsqueeze(-1) if inputs.dim() == 3 else real, inputs, changed(inputs, spec, 0))
    packed, whole = model.packed(inputs, lengths), model(inputs)[real]
    assert packed.shape == (int(lengths.sum()), model.spec.output.width)
    assert_close(packed, whole)
    assert torch.equal(packed, model.packed(other, lengths))
    directions = torch.randn_like(whole)
    ours, plain = (
        torch.autograd.grad((logits * directions).sum(), list(model.parameters()), allow_unused=True)
        for logits in (packed, whole)
    )
    for one, other in zip(ours, plain, strict=True):
        assert_close(torch.zeros(()) if one is None else one, torch.zeros(()) if other is None else other)


def test_rows_of_many_lengths_are_packed_in_their_order(model, spec):
    """Enough rows to be cut into parts (seqlab/ragged.py)."""
    inputs = random_inputs(spec, 300, spec.max_length)
    lengths = torch.arange(300) % spec.max_length + 1
    real = torch.arange(spec.max_length) < lengths[:, None]
    with torch.no_grad():
        assert_close(model.packed(inputs, lengths), model(inputs)[real])


def test_one_state_continued_twice_with_clone(model, spec, inputs):
    other = changed(inputs, spec, 4)
    _, state = model.prefill(inputs[:, :4], model.init_state(3))
    copy = clone(state)
    first, _ = by_steps(model, inputs[:, 4:], copy)
    second, _ = model.prefill(other[:, 4:], clone(state))
    third, _ = by_steps(model, inputs[:, 4:], state)
    assert_close(first, model(inputs)[:, 4:])
    assert_close(second, model(other)[:, 4:])
    assert_close(third, first)


def test_clone_shares_no_memory(model, inputs):
    _, state = model.prefill(inputs[:, :4], model.init_state(3))
    copies = leaves(clone(state), 3)
    before = [leaf.clone() for leaf in copies]
    for leaf in leaves(state, 3):
        leaf.fill_(7)
    assert copies and all(map(torch.equal, copies, before))


def test_an_endless_state_goes_on(model, spec):
    long = random_inputs(spec, 2, 3 * spec.max_length)
    if model.endless_state:
        state = model.init_state(2)
        sizes = [tensor.shape for tensor in leaves(state, 2)]
        _, state = model.prefill(long, state)
        assert [tensor.shape for tensor in leaves(state, 2)] == sizes
    else:
        with pytest.raises(ValueError):
            model.prefill(long, model.init_state(2))


def test_other_weights_give_other_outputs(name, spec, inputs):
    model, other = (small_model(name, spec, seed=seed).eval() for seed in (1, 2))
    assert not torch.allclose(other(inputs), model(inputs))


def build_at_default_sizes(name, *overrides):
    """The model that `python run.py model=NAME data=L5` trains."""
    config = composed([f"model={name}", "data=L5", *overrides], MODEL_DIR.parent)
    model, data = (OmegaConf.to_container(node, resolve=True) for node in (config.model, config.data))
    return construct(model, spec=construct(data).spec)


def test_number_of_parameters_on_L5(name):
    golden = json.loads(GOLDEN_FILE.read_text(encoding="utf-8"))
    counted = num_parameters(build_at_default_sizes(name))
    if name not in golden:
        pytest.fail(
            f"conf/model/{name}.yaml has no golden number of parameters. Work it out on paper for data=L5; "
            f'if you too come to {counted}, add "{name}": {counted} to tests/golden/{GOLDEN_FILE.name}'
        )
    assert counted == golden[name]


def test_number_of_parameters_of_the_post_norm_transformer():
    assert num_parameters(build_at_default_sizes("transformer", "model.norm=post")) == 498951


def test_golden_numbers_of_parameters_name_models_that_exist():
    assert set(json.loads(GOLDEN_FILE.read_text(encoding="utf-8"))) <= set(MODELS)
