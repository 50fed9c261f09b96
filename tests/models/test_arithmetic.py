"""model=arithmetic: any model as its body, each part on its own, and what it says of how an answer comes about."""

import re

import pytest
import torch

from seqlab.contract import CHECKS, outcome
from seqlab.contract.measure import Subject, random_inputs
from seqlab.errors import InputError
from seqlab.model import num_parameters
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.spec import Classes, Spec, Tokens
from tests.small_models import MODELS, options_of, small_model, token_spec, vector_spec

BODIES = [name for name in MODELS if name not in ("arithmetic", "hf")]
READING = ("no leak from the future", "steps against the whole", "the room of a state")
FEW = Spec(Tokens(40, "number"), Classes(40), max_length=5)
NUMBERS = Spec(Tokens(256, "number"), Classes(256), max_length=8)
PARTS = ("differences", "relative", "pointer")


def with_body(body, spec, **options):
    """The small arithmetic model with the small body of another name."""
    inner = dict(options_of(body))
    sizes = {"d_model": 16, "num_layers": 2, "num_heads": 4, "ff_dim": 24, "hidden_dim": 12}
    inner |= {key: size for key, size in sizes.items() if key in inner}
    return small_model("arithmetic", spec, body=inner, **options).eval()


@pytest.mark.parametrize("body", BODIES)
def test_any_model_is_a_body(body):
    model = with_body(body, FEW, look_back=3)
    assert type(model.body).__name__.lower() == body.replace("_", "")
    assert (model.endless_state, model.reads_parts) == (model.body.endless_state, model.body.reads_parts)
    subject = Subject(lambda: with_body(body, FEW, look_back=3), model, random_inputs(FEW, 3, 5))
    for check in READING:
        found = outcome(CHECKS[check], subject)
        assert found.passed, f"{check}: {found.measured}"


@pytest.mark.parametrize("part", PARTS)
def test_each_part_works_alone_and_changes_the_output(part):
    only = {name: name == part for name in PARTS}
    model = small_model("arithmetic", token_spec(), **only).eval()
    subject = Subject(lambda: small_model("arithmetic", token_spec(), **only), model, random_inputs(token_spec(), 3, 9))
    for check in ("steps against the whole", "gradients in every parameter", "no leak from the future"):
        assert outcome(CHECKS[check], subject).passed
    bare = small_model("arithmetic", token_spec(), **dict.fromkeys(PARTS, False))
    assert num_parameters(model) > num_parameters(bare)


def test_without_its_parts_it_is_its_body_behind_an_input_layer():
    model = small_model("arithmetic", token_spec(), **dict.fromkeys(PARTS, False)).eval()
    ids = random_inputs(model.spec, 3, 9)
    assert torch.equal(model(ids), model.body(model.embedding(ids)))


def test_real_vectors_go_to_the_body_alone():
    model = small_model("arithmetic", vector_spec()).eval()
    inputs = random_inputs(model.spec, 3, 9)
    assert torch.equal(model(inputs), model.body(inputs)) and model.body.spec == vector_spec()
    assert model.explanation(inputs[:1]) == []


def test_the_pointer_gives_log_probabilities():
    logits = small_model("arithmetic", NUMBERS).eval()(random_inputs(NUMBERS, 3, 8))
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(3, 8))


def test_dropping_the_first_terms_of_the_state_changes_what_is_said():
    """The state has as many terms as differences, anchors and residuals need, and each has an effect."""
    model = small_model("arithmetic", NUMBERS).eval()
    ids = random_inputs(NUMBERS, 1, 8)
    _, state = model.prefill(ids[:, :7], model.init_state(1))
    whole, _ = model.step(ids[:, 7], state)
    assert state.terms_BP.shape == (1, 10)
    for place in range(3, 10):  # three terms were never read
        terms = state.terms_BP.clone()
        terms[:, place] = (terms[:, place] + 17) % 256
        assert not torch.allclose(model.step(ids[:, 7], state._replace(terms_BP=terms))[0], whole, atol=1e-6)


def test_an_explanation_is_true_arithmetic_of_the_terms_read():
    model = small_model("arithmetic", NUMBERS).eval()
    lines = model.explanation(torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21]]))
    assert lines[-1].endswith("not copied") and len(lines) > 1
    for line in lines[:-1]:
        value, sum_of_terms = re.fullmatch(r"[\d.]+%  (\d+) = ([\d x()+-]+)", line).groups()
        assert int(value) == eval(sum_of_terms.replace("x", "*"))  # arithmetic of our own
    assert small_model("arithmetic", NUMBERS, pointer=False).eval().explanation(torch.tensor([[1, 2]])) == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.body._target_=seqlab.optim.adamw", r"model\.body\._target_=seqlab\.optim\.adamw is not allowed"),
        ("model.body._target_=os.mkdir", r"model\.body\._target_=os\.mkdir is not allowed"),
        ("model.body._target_=seqlab.model.Rereading", "is abstract"),
        ("model.body.num_heads=7", "num_heads=7 does not divide d_model"),
        ("model.body.d_model=0", r"model\.body\.d_model=0"),
        ("model.body=lstm", r"model\.body=lstm: .*model@model\.body=lstm puts one there"),
        ("model.look_back=0", r"model\.look_back=0"),
    ],
)
def test_a_bad_body_is_refused_in_one_line(prepare, word, message):
    with pytest.raises(InputError, match=message):
        prepare("model=arithmetic", "data=L5", word)


def test_a_body_is_chosen_by_its_name(compose, prepare):
    words = ("model=arithmetic", "model@model.body=lstm", "model.body.num_layers=1", "data=L5")
    assert compose(*words, full=True)["name"]["model"] == "arithmetic"
    run, _ = prepare(*words, full=True)
    assert isinstance(run.model.body, LSTM) and run.model.body.lstm.num_layers == 1
    run, _ = prepare("model=arithmetic", "data=L5")
    assert isinstance(run.model.body, Transformer)
