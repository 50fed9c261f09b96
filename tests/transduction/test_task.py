"""Training and test strings of any length, the scores over lengths, and models that cannot read them all."""

import math

import pytest
import torch

from rule_extrapolation.letters import ANBN
from seqlab.errors import InputError
from seqlab.model import Rereading
from seqlab.models.linear import Linear
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.models.xlstm import XLSTM
from seqlab.proportion import Proportion
from transduction.answers import Majority, Rewriting
from transduction.datamodule import TransductionDataModule
from transduction.grammatical import Grammatical
from transduction.groups import GroupWord
from transduction.recall import Recall
from transduction.task import Transduction, read

SMALL = {"max_length": 6, "test_lengths": (12, 30), "lengths_per_bin": 3, "num_val": 4, "num_test": 8, "batch_size": 5}


class Knowing(Rereading):
    """Answers with the problem's oracle, up to a number of steps; then with something else."""

    def __init__(self, data, up_to=10**6, refuses=False):
        super().__init__(data.spec)
        self.problem, self.up_to, self.refuses = data.problem, up_to, refuses

    def forward(self, inputs):
        if self.refuses and inputs.shape[1] > self.up_to:
            raise ValueError("too long")
        answers = self.problem.oracle(inputs)
        if inputs.shape[1] > self.up_to:
            answers = (answers + 1) % len(self.problem.answers)
        return 9.0 * torch.nn.functional.one_hot(answers.clamp(min=0), len(self.problem.answers))


@pytest.fixture
def data():
    return TransductionDataModule(problem=GroupWord(group="S3"), **SMALL)


def test_batches_are_functions_of_the_step(data):
    again = TransductionDataModule(problem=GroupWord(group="S3"), **SMALL)
    lengths = set()
    for step in (7, 3, 0, 50):
        one, other = data.train_batch(step), again.train_batch(step)
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
        assert len(one.inputs) == 5
    lengths = {data.train_batch(step).inputs.shape[1] for step in range(60)}
    assert lengths == set(range(1, 7))
    other = TransductionDataModule(problem=GroupWord(group="S3"), **SMALL, seed=2)
    assert not all(torch.equal(data.train_batch(s).inputs, other.train_batch(s).inputs) for s in range(5))


def test_test_strings_have_the_lengths_of_their_bins(data):
    assert data.bins == {"1-6": [1, 4, 6], "7-12": [7, 10, 12], "13-30": [13, 22, 30]}
    assert [batch.inputs.shape for batch in data.batches("test")] == [(8, n) for n in (1, 4, 6, 7, 10, 12, 13, 22, 30)]
    assert [batch.inputs.shape for batch in data.batches("val")] == [(4, n) for n in (1, 4, 6)]
    val, test = (next(iter(data.batches(split))).inputs[:4] for split in ("val", "test"))
    assert not torch.equal(val, test) or len(val) == 1


@pytest.mark.parametrize(
    "problem", [GroupWord(), Majority(readout="last"), Rewriting(order="sort", alphabet=4), Recall()]
)
def test_a_model_that_knows_scores_one(problem):
    data = TransductionDataModule(problem=problem, **SMALL)
    task = Transduction(data)
    results = task.evaluate(Knowing(data), "test")
    assert results["test/horizon"] == 30
    for name in data.bins:
        assert results[f"test/{name}/last"] == Proportion(24, 24) and results[f"test/{name}/whole"] == Proportion(
            24, 24
        )
        assert results[f"test/{name}/every"] == 1
    assert results.keys() == task.baselines()["oracle"].keys() | {"test/loss"}


def test_what_goes_wrong_beyond_a_length_is_seen(data):
    results = Transduction(data).evaluate(Knowing(data, up_to=10), "test")
    assert results["test/horizon"] == 10
    assert results["test/7-12/last"] == Proportion(16, 24) and results["test/13-30/last"] == Proportion(0, 24)
    assert results["test/7-12/every"] == pytest.approx((7 + 10) / (7 + 10 + 12))


def test_what_cannot_be_read_has_no_score(data):
    task = Transduction(data)
    results = task.evaluate(Knowing(data, up_to=10, refuses=True), "test")
    assert results["test/horizon"] == 10 and results["test/1-6/last"] == Proportion(24, 24)
    assert results["test/7-12/last"].value is None and results["test/13-30/every"].value is None
    with pytest.raises(ValueError, match="too long"):  # within the lengths of training, that is an error
        task.evaluate(Knowing(data, up_to=2, refuses=True), "test")
    results = task.evaluate(Linear(data.spec, d_model=4), "test")
    assert results["test/1-6/last"].trials == 24 and results["test/13-30/last"].value is None


def test_distinct_strings_are_counted_by_bin():
    """Of a^n b^n there is one of each even length, of two symbols eight of length 3."""
    few = TransductionDataModule(problem=Grammatical(language=ANBN(), readout="next"), max_length=4, test_lengths=(8,))
    assert Transduction(few).notes() == ["Distinct test strings: 2 of 128 at 1-4, 2 of 128 at 5-8."]
    many = TransductionDataModule(problem=GroupWord(), max_length=2, test_lengths=(3,), num_test=400)
    assert Transduction(many).notes() == ["Distinct test strings: 6 of 800 at 1-2, 8 of 400 at 3-3."]


def test_chance_is_exact(data):
    chance = Transduction(data).baselines()["chance"]
    assert chance["test/loss"] == math.log(6) and chance["test/1-6/last"] == 1 / 6
    assert chance["test/1-6/whole"] == pytest.approx((6**-1 + 6**-4 + 6**-6) / 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda spec: LSTM(spec, d_model=8, hidden_dim=8, num_layers=1),
        lambda spec: XLSTM(spec, d_model=16, num_layers=2, num_heads=2, slstm_at=(1,)),
        lambda spec: Transformer(spec, d_model=8, num_layers=1, num_heads=2, ff_dim=8),
    ],
)
def test_reading_beyond_the_lengths_of_training(data, make):
    torch.manual_seed(0)
    model = make(data.spec).eval()
    batch = data.drawn("test", 30, 0, 4)
    with torch.no_grad():
        logits = read(model, batch.inputs)
        state, steps = model.init_state(4, 30), []
        for symbols in batch.inputs.T:
            out, state = model.step(symbols, state)
            steps.append(out)
    assert torch.allclose(logits, torch.stack(steps, 1), atol=1e-5)


def test_loss_and_number_of_targets_are_those_of_due_answers():
    data = TransductionDataModule(problem=Rewriting(order="reverse"), **SMALL)
    task, batch = Transduction(data), data.drawn("train", 5, 0, 3)
    logits = torch.randn(3, 10, 2, generator=torch.Generator().manual_seed(0))
    by_hand = -logits.log_softmax(-1)[:, 5:].gather(2, batch.targets[:, 5:, None]).mean()
    model = Knowing(data)
    model.forward = lambda inputs: logits
    assert task.loss(model, batch) == pytest.approx(by_hand.item()) and task.num_targets(batch) == 15


def test_predicting_and_writing(data):
    task = Transduction(data)
    text = task.describe(Knowing(data), task.parse_prompt("1 2 3"))
    assert text.splitlines()[0] == "string   1 2 3"
    assert text.splitlines()[1].split()[1:] == text.splitlines()[2].split()[1:]
    with pytest.raises(InputError, match="not a symbol"):
        task.parse_prompt("9")
    with pytest.raises(InputError, match="reads up to 6 steps"):
        task.describe(Linear(data.spec, d_model=4), task.parse_prompt("1 2 3 4 5 0 1"))
    records = task.examples(Knowing(data))
    assert len(records) == 4 * 9 and all(record["answers"] == record["right"] for record in records)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"max_length": 4, "test_lengths": (3,)}, "must ascend from data.max_length=4"),
        ({"max_length": 4, "test_lengths": (8, 8)}, "must ascend"),
        ({"max_length": 40, "problem": Recall()}, "at least 1 and at most 32"),
    ],
)
def test_lengths_that_cannot_be(options, part):
    with pytest.raises(ValueError, match=part):
        TransductionDataModule(**({"problem": GroupWord()} | options))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "solved"),
    [
        ("variant=lstm data=parity", True),
        ("variant=transformer data=parity", False),
        ("variant=lstm data=S3", True),
        ("variant=mamba data=parity", False),
        ("variant=mamba_signed data=parity", True),
        ("variant=transformer data=recall data.max_length=4 data.test_lengths=[8]", True),
        ("variant=lstm data=recall data.max_length=4 data.test_lengths=[8]", False),
    ],
)
def test_what_an_architecture_learns_within_900_steps(prepare, words, solved):
    """The recurrent network keeps a state beyond the lengths of training, the Transformer looks up what it has read."""
    steps = ["trainer.max_steps=900", "trainer.min_steps=900", "logger=csv", "trainer.accelerator=cpu"]
    run, trainer = prepare("experiment=state_tracking", *words.split(), *steps, full=True)
    trainer.fit(run.module, datamodule=run.datamodule)
    results = run.task.evaluate(run.model, "test")
    assert (results["test/horizon"] >= run.datamodule.max_length) == solved
    if "lstm" in words and solved:
        assert results["test/horizon"] == 500
