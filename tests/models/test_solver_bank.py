"""model=solver_bank: any model as its body, the vote that it begins with, and what it says of an answer."""

import re

import pytest
import torch

from seqlab.contract import CHECKS, outcome
from seqlab.contract.measure import Subject, random_inputs
from seqlab.nn.bank import NUM_CANDIDATES, NUM_KEPT
from seqlab.spec import Classes, Spec, Tokens
from sequences.vote import vote
from tests.small_models import options_of, small_model, vector_spec

NUMBERS = Spec(Tokens(256, "number"), Classes(256), max_length=8)
FIBONACCI = [1, 1, 2, 3, 5, 8, 13, 21]


def with_body(body, spec, **options):
    """The small model with the small body of another name."""
    inner = dict(options_of(body))
    sizes = {"d_model": 16, "num_layers": 2, "num_heads": 4, "ff_dim": 24, "hidden_dim": 12}
    inner |= {key: size for key, size in sizes.items() if key in inner}
    return small_model("solver_bank", spec, body=inner, **options).eval()


@pytest.mark.parametrize("body", ["lstm", "mamba", "xlstm"])
def test_another_body_reads_step_by_step_as_it_reads_the_whole(body):
    model = with_body(body, NUMBERS)
    subject = Subject(lambda: with_body(body, NUMBERS), model, random_inputs(NUMBERS, 3, 8))
    for check in ("no leak from the future", "steps against the whole", "the room of a state"):
        found = outcome(CHECKS[check], subject)
        assert found.passed, f"{check}: {found.measured}"


def test_without_what_is_learned_it_is_the_vote():
    """Scores and logits of 0 leave the trust alone."""
    model = small_model("solver_bank", NUMBERS).eval()
    with torch.no_grad():
        head = [parameter for name, parameter in model.body.named_parameters() if len(parameter) == 256 + 841]
        assert head
        for parameter in head:
            parameter.zero_()
            if parameter.ndim == 1:
                parameter[-1] = -50.0  # next to nothing for the ordinary logits
    terms = torch.tensor(
        [FIBONACCI, [200, 100, 50, 25, 12, 6, 3, 1], [5, 5, 7, 7, 9, 9, 11, 11], [3, 9, 4, 1, 7, 7, 0, 2]]
    )
    assert torch.equal(model(terms)[:, -1].argmax(-1), vote(terms))
    assert model(terms)[0, -1].argmax() == 34


def test_outputs_are_log_probabilities_and_the_record_has_an_effect():
    model = small_model("solver_bank", NUMBERS).eval()
    inputs = random_inputs(NUMBERS, 3, 8)
    torch.testing.assert_close(model(inputs).exp().sum(-1), torch.ones(3, 8))
    _, state = model.prefill(inputs[:, :7], model.init_state(3))
    assert state.terms_BP.shape == (3, NUM_KEPT) and state.record.hits_BN.shape == (3, NUM_CANDIDATES)
    said, _ = model.step(inputs[:, 7], state)
    other = state.record._replace(streak_BN=state.record.streak_BN.roll(1, 1))
    assert not torch.allclose(model.step(inputs[:, 7], state._replace(record=other))[0], said)


def test_an_explanation_is_true_arithmetic():
    lines = small_model("solver_bank", NUMBERS).eval().explanation(torch.tensor([FIBONACCI]))
    assert lines[-1].endswith("not from the bank") and len(lines) > 1
    for line in lines[:-1]:
        value, text = re.fullmatch(r"[\d.]+%  (\d+) = (.+?)  \([a-z0-9 ]+\)", line).groups()
        text = re.sub(r"floor\((\d+)/(\d+) x (\d+)\)", r"(\1 * \3 // \2)", text)
        text = re.sub(r"ceiling\((\d+)/(\d+) x (\d+)\)", r"-(-\1 * \3 // \2)", text)
        assert int(value) == eval(text.replace("x", "*")), line  # arithmetic of our own


def test_real_vectors_go_to_the_body_alone():
    model = small_model("solver_bank", vector_spec()).eval()
    inputs = random_inputs(model.spec, 3, 9)
    assert torch.equal(model(inputs), model.body(inputs)) and model.explanation(inputs[:1]) == []
