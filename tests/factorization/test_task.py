import pytest
import torch

from seqlab.errors import InputError
from seqlab.proportion import Proportion


@pytest.fixture(scope="session")
def run(compose):
    """An untrained tiny sine net on S3, built as a job builds it."""
    from seqlab.run.build import build

    return build(compose("model=sine_net", "data=semiprimes"))


@pytest.fixture(scope="session")
def task(run):
    return run.task


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "'abc' is not a whole number"),
        ("8633.0", "'8633.0' is not a whole number"),
        ("", "'' is not a whole number"),
        ("-15", "-15 is not a semiprime: the smallest is 4"),
        ("1", "1 is not a semiprime"),
        ("16384", "16384 has 15 bits, the model reads at most 14"),
        ("97", "97 is a prime, not a semiprime"),
        ("30", "30 is not a semiprime: it is 2 · 15, and the latter is not a prime"),
    ],
)
def test_bad_prompts(task, text, message):
    with pytest.raises(ValueError, match=message):
        task.parse_prompt(text)


@pytest.mark.parametrize("text", ["4", " 8633 ", "9409", "16382"])
def test_good_prompts(task, text):
    assert task.parse_prompt(text) == int(text)


def test_a_prediction_says_whether_it_divides(run, task, monkeypatch):
    from factorization.heads import Answer

    def says(factor):
        answer = Answer(torch.tensor([factor]), torch.full((1, 7), 0.75))
        monkeypatch.setattr(task.head, "answer", lambda model, inputs: answer)
        return task.describe(run.model, 8633)

    right, wrong = says(89), says(45)
    assert "factor      89" in right
    assert "cofactor    97: 89 divides" in right
    assert "1 (75%)  0 (75%)  1 (75%)  1 (75%)  0 (75%)  0 (75%)  1 (75%)" in right
    assert "cofactor    none: 45 does not divide" in wrong
    assert "truth       89 · 97" in wrong


def test_where_a_number_belongs(run, task):
    shown = {
        name: task.describe(run.model, int(getattr(task.data, part).numbers[0]))
        for part, name in (("train", "training"), ("val", "validation"), ("test", "test"))
    }
    for name, text in shown.items():
        assert f"a {name} number" in text
    assert "not a number of S3" in task.describe(run.model, 2 * 4409)


def test_titles_say_what_is_in_and_what_is_held_out(compose):
    from seqlab.run.build import build

    def title(*words):
        return build(compose("model=sine_net", "data=semiprimes", *words)).task.title()

    assert "the 496 semiprimes with both factors below 128, with squares" in title()
    assert "the 2,600 semiprimes up to 10,000, without squares" in title("data.set=S1", "data.squares=false")
    assert "endless train, 2,000 val, 2,000 test" in title("data.set=S7", "data.head=bits")
    assert "a class head is 0 by construction" in title("data.set=S1", "data.protocol=factor")
    assert "the labelled oracle" in title("data.input=oracle")
    assert "a labelled tier" in title("data.input=residues")


def test_results_and_baselines_have_the_same_names(prepare):
    run, trainer = prepare("model=binary_lstm", "data=semiprimes", "data.set=S4", "trainer.max_steps=2",
                           "trainer.val_every=2", "logger=csv")  # fmt: skip
    trainer.fit(run.module, datamodule=run.datamodule)
    assert {"val/loss", "val/beta_0", "val/beta_1", "val/distinct_outputs"} <= set(trainer.callback_metrics)
    results = run.task.evaluate(run.model, "test")
    assert {*(f"test/beta_{k}" for k in range(8)), "test/distinct_outputs", "test/s3/beta_0"} <= set(results)
    assert results["test/beta_7"].value == 1
    assert results["test/s3/beta_0"].trials < results["test/beta_0"].trials == len(run.datamodule.test.numbers)
    baselines = run.task.baselines()
    for rows in baselines.values():
        assert set(rows) <= set(results)
    assert set(baselines["oracle"]) == set(results) - {"test/loss"}
    records = run.task.examples(run.model)
    assert len(records) == len(run.datamodule.test.numbers)
    exact = sum(record["predicted"] == record["factor"] for record in records)
    assert results["test/beta_0"] == Proportion(exact, len(records))
    assert all((record["wrong_bits"] == 0) == (record["predicted"] == record["factor"]) for record in records)
    assert set(run.task.figures(run.model, results, baselines)) == {"beta"}


def test_a_class_head_names_no_held_out_factor(prepare):
    words = ["trainer.max_steps=60", "trainer.val_every=60", "logger=csv", "data.set=S1", "data.protocol=factor"]
    run, trainer = prepare("model=sine_net", "optimizer=rprop", "data=semiprimes", *words)
    trainer.fit(run.module, datamodule=run.datamodule)
    assert run.task.evaluate(run.model, "test")["test/beta_0"].hits == 0


@pytest.mark.parametrize("words", [["data.head=tokens"], ["data.fold=5"], ["data.set=S8"], ["data.base=1"]])
def test_what_cannot_work_is_refused(compose, words):
    from seqlab.run.build import build

    with pytest.raises(InputError):
        build(compose("model=sine_net", "data=semiprimes", *words))


@pytest.mark.parametrize("head", ["bits", "classes"])
def test_a_sequence_model_answers_at_its_last_step(prepare, head):
    run, trainer = prepare("model=lstm", "data=semiprimes", f"data.head={head}", "trainer.max_steps=2",
                           "trainer.val_every=2", "logger=csv")  # fmt: skip
    trainer.fit(run.module, datamodule=run.datamodule)
    assert torch.isfinite(trainer.callback_metrics["val/loss"])


def test_a_sine_net_gets_weight_decay_without_a_preset_too(compose):
    """It is what makes the net generalise: 3,000 steps on S3 without it, beta_0 0.05; with it 0.28."""

    def decay(*words):
        return compose("model=sine_net", "data=semiprimes", *words)["optimizer"]["weight_decay"]

    assert decay() == decay("optimizer=rprop") == decay("experiment=semiprimes_sine") == 6e-3
    assert decay("optimizer.weight_decay=0.0") == 0
    assert compose("model=binary_lstm", "data=semiprimes")["optimizer"]["weight_decay"] == 0


def test_a_sine_net_learns_to_divide(prepare):
    """A small one, a hundred steps: above every rule that reads one bit, on numbers that it has not seen."""
    words = ["trainer.max_steps=150", "trainer.val_every=150", "logger=csv", "data.batch_size=null"]
    names = ["experiment=semiprimes_sine", "data=semiprimes", "model=sine_net", "model.hidden_dim=64"]
    run, trainer = prepare(*names, *words)
    trainer.fit(run.module, datamodule=run.datamodule)
    results, rule = run.task.evaluate(run.model, "test"), run.task.baselines()["last bit"]
    assert results["test/beta_0"].interval[0] > rule["test/beta_0"].interval[1]
    assert results["test/beta_0"].value > 0.6
