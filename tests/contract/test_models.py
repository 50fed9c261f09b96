"""What seqlab.model promises, for every model of conf/model: see tests/contract/conftest.py for how they are made."""

import io
import json
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from seqlab.model import SequenceModel, clone, num_parameters
from seqlab.run.config import composed
from tests.small_models import MODEL_DIR, MODELS, random_inputs, small_model, vector_spec

GOLDEN_FILE = Path(__file__).parents[1] / "golden" / "num_parameters.json"


def test_there_are_models():
    assert {"transformer", "lstm", "linear"} <= set(MODELS)


def assert_close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def by_steps(model, inputs, state):
    """Logits of `model.step` over all inputs, and the state after them."""
    logits = []
    for place in range(inputs.shape[1]):
        step_logits, state = model.step(inputs[:, place], state)
        logits.append(step_logits)
    return torch.stack(logits, 1), state


def changed(inputs, start):
    """Inputs that differ from `inputs` at every step from `start` on, and only there."""
    result = inputs.clone()
    result[:, start:] = (result[:, start:] + 1) % 7 if inputs.dtype == torch.int64 else result[:, start:] + 1.0
    return result


def leaves(state, batch):
    """The tensors of a state, all of it checked to be NamedTuples of tensors with the batch first."""
    if isinstance(state, Tensor):
        assert state.dim() >= 1 and state.shape[0] == batch
        return [state]
    assert isinstance(state, tuple) and hasattr(state, "_fields"), f"{type(state).__name__} is no NamedTuple"
    return [leaf for part in state for leaf in leaves(part, batch)]


def test_is_a_sequence_model_with_its_spec(model, spec):
    assert isinstance(model, SequenceModel)
    assert model.spec == spec


def test_can_be_built_without_memory(model, spec, request):
    """A file is held against the model that it declares before that model takes room (seqlab/run/build.py)."""
    with torch.device("meta"):
        declared = small_model(request.node.callspec.params["model"], spec).state_dict()
    assert {name: tensor.shape for name, tensor in declared.items()} == {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }
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


def test_no_leak_from_the_future(model, inputs):
    logits = model(inputs)
    for start in range(inputs.shape[1]):
        other = model(changed(inputs, start))
        assert_close(other[:, :start], logits[:, :start], 1e-6)
        assert (other[:, start] - logits[:, start]).abs().amax() > 1e-5  # but the present is seen


@pytest.mark.parametrize("name", MODELS)
def test_no_gradient_from_the_future_or_from_other_rows(name):
    model = small_model(name, vector_spec()).eval()
    inputs = random_inputs(model.spec, 3, 9).requires_grad_()
    logits = model(inputs)
    for time in range(9):
        (gradient,) = torch.autograd.grad(logits[1, time].sum(), inputs, retain_graph=True)
        size = gradient.abs().sum(-1)
        assert (size[1, : time + 1] > 0).all(), f"output {time} sees only some of its past"
        assert (size[1, time + 1 :] == 0).all() and (size[[0, 2]] == 0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_whole_sequences_equal_steps_equal_two_chunks(model, inputs, dtype, tolerance):
    model.to(dtype)
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    batch, time = inputs.shape[:2]
    whole = model(inputs)
    assert_close(by_steps(model, inputs, model.init_state(batch, time))[0], whole, tolerance)
    for split in range(1, time):
        first, state = model.prefill(inputs[:, :split], model.init_state(batch, time))
        second, _ = model.prefill(inputs[:, split:], state)
        assert_close(torch.cat([first, second], 1), whole, tolerance)


def test_steps_after_a_chunk_equal_the_whole(model, inputs):
    first, state = model.prefill(inputs[:, :4], model.init_state(3))
    rest, _ = by_steps(model, inputs[:, 4:], state)
    assert_close(torch.cat([first, rest], 1), model(inputs))


def test_a_row_alone_equals_the_row_in_a_batch(model, inputs):
    whole = model(inputs)
    stepwise, _ = by_steps(model, inputs, model.init_state(3))
    for row in range(3):
        alone = inputs[row : row + 1]
        assert_close(model(alone)[0], whole[row])
        assert_close(by_steps(model, alone, model.init_state(1))[0][0], stepwise[row])


@pytest.mark.parametrize("lengths", [(9, 9, 9), (4, 9, 1), (2, 0, 3)])
def test_packed_rows_are_the_real_steps_alone(model, inputs, lengths):
    """In values and gradients; what stands behind a row's end has no effect."""
    lengths = torch.tensor(lengths)
    real = torch.arange(inputs.shape[1]) < lengths[:, None]
    other = torch.where(real.unsqueeze(-1) if inputs.dim() == 3 else real, inputs, changed(inputs, 0))
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


def test_one_state_continued_twice_with_clone(model, inputs):
    other = changed(inputs, 4)
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


def test_sequences_read_in_turns_do_not_disturb_each_other(model, spec):
    """State is a value: a model keeps nothing of what it read."""
    one, two = random_inputs(spec, 3, 9, seed=1), random_inputs(spec, 2, 9, seed=2)
    state_one, state_two = model.init_state(3), model.init_state(2)
    whole_one, whole_two = model(one), model(two)
    for place in range(9):
        logits, state_one = model.step(one[:, place], state_one)
        assert_close(logits, whole_one[:, place])
        model(two)
        logits, state_two = model.step(two[:, place], state_two)
        assert_close(logits, whole_two[:, place])


def test_state_is_named_tuples_of_tensors_batch_first(model, inputs):
    state = model.init_state(3)
    fresh = leaves(state, 3)
    assert fresh
    _, state = model.prefill(inputs[:, :4], state)
    after_chunk = leaves(state, 3)
    _, state = model.step(inputs[:, 4], state)
    for leaf, *later in zip(fresh, after_chunk, leaves(state, 3), strict=True):
        assert all(other.dtype == leaf.dtype for other in later)


def test_an_endless_state_keeps_its_size_and_goes_on(model, spec):
    long = random_inputs(spec, 2, 3 * spec.max_length)
    if model.endless_state:
        state = model.init_state(2)
        sizes = [tensor.shape for tensor in leaves(state, 2)]
        _, state = model.prefill(long, state)
        assert [tensor.shape for tensor in leaves(state, 2)] == sizes
        assert [tensor.shape for tensor in leaves(model.init_state(2, 99), 2)] == sizes
    else:
        with pytest.raises(ValueError):
            model.prefill(long, model.init_state(2))


def test_gradients_reach_every_parameter(model, spec, inputs):
    model.train()
    weights = torch.randn(3, spec.max_length, spec.output.width, generator=torch.Generator().manual_seed(1))
    (model(inputs) * weights).sum().backward()
    names = [name for name, p in model.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert names == []
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("name", MODELS)
def test_state_dict_round_trip(name, spec, inputs):
    model, other = (small_model(name, spec, seed=seed).eval() for seed in (1, 2))
    expected = model(inputs)
    assert not torch.allclose(other(inputs), expected)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(other(inputs), expected)


def test_deterministic_in_evaluation_mode(model, inputs):
    torch.manual_seed(1)
    expected = model(inputs)
    expected_steps, _ = by_steps(model, inputs, model.init_state(3))
    torch.manual_seed(2)
    assert torch.equal(model(inputs), expected)
    assert torch.equal(by_steps(model, inputs, model.init_state(3))[0], expected_steps)


def test_under_bfloat16_autocast(model, spec, inputs):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole = model(inputs)
        with torch.no_grad():
            first, state = model.prefill(inputs[:, :4], model.init_state(3))
            rest, _ = by_steps(model, inputs[:, 4:], state)
    expected = model(inputs)
    for logits in (whole, torch.cat([first, rest], 1)):
        assert logits.shape == (3, spec.max_length, spec.output.width)
        assert_close(logits.float(), expected, 0.1)
    whole.float().square().mean().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def build_at_default_sizes(name, *overrides):
    """The model that `python run.py model=NAME data=L5` trains."""
    config = composed([f"model={name}", "data=L5", *overrides], MODEL_DIR.parent)
    return instantiate(config.model, _partial_=True)(spec=instantiate(config.data).spec)


@pytest.mark.parametrize("name", MODELS)
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
