"""What a run on integer sequences reports, and what it makes of a prompt."""

import pytest
import torch

from seqlab.proportion import Proportion
from seqlab.run.build import build
from sequences.baselines import compare, continued, solver_results, true_continuations
from sequences.curriculum import Samples
from sequences.families import FAMILIES
from sequences.family import MASKED
from sequences.solvers import SOLVERS


@pytest.fixture(scope="module")
def run(compose):
    run = build(compose("data=recurrence", "data.num_test=400"))
    run.model.eval()
    return run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 256", "256 is outside 0 to 255"),
        ("1 -2 3", "-2 is outside 0 to 255"),
        ("1 2 x", "'x' is not an integer"),
        ("1 2.5 3", "'2.5' is not an integer"),
        ("1 --5 3", "'--5' is not an integer"),
        ("1 - 3", "'-' is not an integer"),
        ("1 1_0 3", "'1_0' is not an integer"),
        ("1 \u0663 3", "'\u0663' is not an integer"),
        ("1 2 " + "1" * 5000, "^an integer of 5,000 digits is outside 0 to 255"),
        ("1 2 -" + "1" * 5000, "^an integer of 5,000 digits is outside 0 to 255"),
        ("1 2 " + "x" * 5000, r"^'x+\.\.\.x+' is not an integer"),
        ("1 2", "2 terms are too few: at least 3"),
        ("", "0 terms are too few"),
    ],
)
def test_bad_prompts_are_named(run, text, message):
    with pytest.raises(ValueError, match=message):
        run.task.parse_prompt(text)


def test_describe_gives_probabilities_and_eight_more_terms(run):
    text = run.task.describe(run.model, run.task.parse_prompt("1, 1 2 3 5 8 13 21"))
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["terms"] == "1 1 2 3 5 8 13 21"
    shares = [float(word.strip("()%")) for word in lines["next"].split() if "%" in word]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    assert len(lines["greedily"].split()) == 8
    assert "the last 8 of 10" in run.task.describe(run.model, run.task.parse_prompt("5 5 1 1 2 3 5 8 13 21"))


def test_the_true_continuation_starts_with_the_ninth_term(run):
    whole, truth = true_continuations(run.datamodule.test_samples)
    assert torch.equal(truth[:, 0], whole.terms[:, -1])
    assert (whole.terms != MASKED).all()
    constant = whole.family == [family.name for family in FAMILIES].index("constant")
    assert torch.equal(truth[constant], whole.terms[constant][:, :8])


def test_a_solver_continues_from_its_own_terms():
    terms = torch.tensor([[1, 1, 2, 3, 5, 8, 13, 21], [0, 10, 20, 30, 40, 50, 60, 70]])
    assert continued(SOLVERS["recurrence"], terms, 3).tolist() == [[34, 55, 89], [80, 90, 100]]


@pytest.mark.parametrize(
    ("terms", "step"), [((250, 253, 255), 3), ((250, 253, 255), 300), ((9, 4, 0), -5), ((9, 4, 0), -50)]
)
def test_an_answer_outside_is_wrong_where_the_nearest_end_is_right(terms, step):
    """From 253: 256 and 553; from 4: -1, which would mean no answer, and -46."""
    one = torch.zeros(1, dtype=torch.int64)
    samples = Samples(torch.tensor([[*terms, *[7] * 6]]), one, one, torch.ones(1))
    found = solver_results(lambda read: read[:, -1] + step, samples)["accuracy_by_length/2"]
    assert (found.hits, found.trials) == (0, 1)


def test_a_continuation_keeps_what_is_outside_and_goes_on_from_inside():
    assert continued(lambda read: read[:, -1] + 100, torch.tensor([[100]]), 3).tolist() == [[200, 300, 355]]


def test_every_baseline_stands_beside_the_model(run):
    rows = compare(run.datamodule.test_samples)
    assert list(rows) == ["chance", *SOLVERS, "bayes"]
    assert rows["chance"]["test/accuracy"] == 1 / 256
    assert rows["chance"]["test/cross_entropy"] == pytest.approx(5.545, abs=1e-3)
    assert rows["chance"]["test/distance"] == pytest.approx(88, abs=15)
    for name, row in rows.items():
        assert all(key.startswith("test/") for key in row), name
    shares = {name: row["test/accuracy"] for name, row in rows.items() if name != "chance"}
    assert all(isinstance(share, Proportion) and share.trials > 300 for share in shares.values())
    order = [shares[name].value or 0 for name in ("copy_last", "recurrence", "bayes")]
    assert order == sorted(order)
    assert rows["cascade"]["test/accuracy_by_family/arithmetic"].value == 1
    assert rows["bayes"]["test/accuracy_by_phase/phase_1"].value == 1
    real = [rows[name]["test/real/accuracy_in_span"].hits for name in ("copy_last", "recurrence", "cascade")]
    assert real == sorted(real)
    assert rows["cascade"]["test/real/accuracy_beyond_span"].trials > 50


def test_objectives_agree_with_their_parts(compose):
    options = {"expected": ["task.beta=0"], "argmax": ["task.alpha=0"]}
    losses = []
    for distance, more in options.items():
        run = build(compose("data=recurrence", f"task.distance={distance}", *more))
        run.model.eval()
        losses.append(float(run.task.loss(run.model, run.datamodule.train_batch(0)).detach()))
    assert losses[0] == pytest.approx(losses[1])  # plain cross-entropy, both
    run = build(compose("data=recurrence"))
    run.model.eval()
    assert float(run.task.loss(run.model, run.datamodule.train_batch(0)).detach()) > losses[0]


def test_masked_terms_do_not_count(run):
    batch = run.datamodule.train_batch(0).clone()
    batch[:, 5:] = MASKED
    other = batch.clone()
    short = run.task.loss(run.model, batch)
    logits = run.model(other[:, :4])  # what is read behind the end changes nothing before it
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), other[:, 1:5].flatten())
    assert float(short.detach()) > float(expected.detach())
    run.task.beta, beta = 0.0, run.task.beta
    assert float(run.task.loss(run.model, batch).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    run.task.beta = beta
