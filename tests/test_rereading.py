"""Rereading: a model that has `forward` alone is decoded, and a run says that each step reads everything again."""

import inspect
from dataclasses import replace

import pytest
import torch
from torch import nn

from seqlab.contract.measure import random_inputs
from seqlab.decode import greedy
from seqlab.model import Rereading
from seqlab.show.layout import show
from seqlab.show.table import result_table
from tests.reference.decoding import greedy_by_rereading
from tests.small_models import lively, ragged_prompts, token_spec, vector_spec


class Window(Rereading):
    """Sees the last three inputs."""

    def __init__(self, spec):
        super().__init__(spec)
        self.embedding = nn.Embedding(7, 8) if hasattr(spec.input, "size") else nn.Linear(3, 8)
        self.convolution = nn.Conv1d(8, spec.output.width, 3)
        self.steps_read = 0

    def forward(self, inputs):
        self.steps_read += inputs.shape[1]
        x_BCT = self.embedding(inputs).transpose(1, 2)
        return self.convolution(nn.functional.pad(x_BCT, (2, 0))).transpose(1, 2)


def test_it_is_decoded():
    """Each id in turn is EOS, so that rows end early, late and never."""
    finished = set()
    for eos in (1, 3, 4, 5):
        torch.manual_seed(eos)
        model = lively(Window(replace(token_spec(), eos=eos))).eval()
        rows, padded, counts = ragged_prompts([3, 1, 9, 2, 5])
        decoded = greedy(model, padded, counts, max_length=9)
        expected = [greedy_by_rereading(model, row, max_length=9, eos=eos, pad=2) for row in rows]
        assert list(zip(decoded.tokens.tolist(), decoded.finished.tolist(), strict=True)) == expected
        finished |= set(decoded.finished.tolist())
    assert finished == {True, False}


@pytest.mark.parametrize("spec", [token_spec(), vector_spec()], ids=["tokens", "vectors"])
def test_each_step_reads_everything_before_it(spec):
    model = Window(spec).eval()
    inputs = random_inputs(spec, 2, 4)
    logits, state = model.prefill(inputs[:, :2], model.init_state(2, 4))
    assert model.steps_read == 2
    for place in (2, 3):
        logits, state = model.step(inputs[:, place], state)
    assert model.steps_read == 2 + 3 + 4
    torch.testing.assert_close(logits, model(inputs)[:, 3])
    with pytest.raises(ValueError, match=r"^4 \+ 1 steps do not fit a state made for 4$"):
        model.step(inputs[:, 0], state)


def test_a_state_is_not_written_into():
    model = Window(token_spec()).eval()
    inputs = random_inputs(model.spec, 2, 5)
    _, state = model.prefill(inputs[:, :2], model.init_state(2))
    before = [tensor.clone() for tensor in state]
    model.prefill(inputs[:, 2:], state)
    assert all(map(torch.equal, state, before))


def test_forward_is_what_is_asked_for():
    class Nothing(Rereading):
        pass

    assert inspect.isabstract(Nothing) and Nothing.__abstractmethods__ == {"forward"}


@pytest.mark.parametrize("note", ["each step of decoding reads everything before it again", None])
def test_the_table_of_a_run_has_its_notes(note, capsys):
    summary = {
        "model": "window",
        "description": "L5",
        "seed": 1,
        "steps": 2,
        "seconds": 1.0,
        "stopped": "max_steps",
        "best_step": 2,
        "metrics": {"test/loss": 1.0, "test_last/loss": 1.0},
        "intervals": {},
        "counts": {},
        "last_five_checks": {},
        "baselines": {"chance": {"test/loss": 2.0}},
        "missing": {},
        "notes": [note] if note else [],
    }
    show(result_table(summary))
    assert ("each step of decoding" in capsys.readouterr().out) == (note is not None)
