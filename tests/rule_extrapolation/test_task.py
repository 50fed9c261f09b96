"""The task: its names, its results over prompts, its records, and what it says to people."""

import math
import re

import pytest
import torch

from rule_extrapolation.baselines import EndAtOnce, Uniform
from rule_extrapolation.broken import broken
from rule_extrapolation.metrics import NAMES, token_loss
from seqlab.proportion import Proportion, value_of
from seqlab.run.build import build

RULES = {f"{group}{end}/{name}" for group in ("id", "ood", "sos") for end in ("", "_finished") for name in NAMES}


def num_tokens(text):
    return len(re.sub("<...>", "*", text))


@pytest.fixture
def built(compose):
    """Overrides -> (model, task), untrained; no trainer is near."""

    def of(*overrides):
        run = build(compose(*overrides))
        return run.model.eval(), run.task

    return of


def test_long_strings_have_no_optimum_and_the_rest_of_their_results(built):
    model, task = built("data=L1", "data.max_length=65", "data.num_val=4", "data.num_test=4")
    results = task.evaluate(model, "test")
    assert task.data.test_optimum is None and "test/nats_above_optimal" not in results and "test/loss" in results
    rows = task.baselines()
    assert "optimal" not in rows and rows["chance"]["test/loss"] == math.log(3)


def test_what_differs_between_seeds_is_a_note_and_not_in_the_title(built):
    tasks = [built("data=L5", f"seed={seed}", "data.max_length=10", "data.num_test=500")[1] for seed in (1, 2)]
    assert tasks[0].title() == tasks[1].title()
    assert tasks[0].notes() != tasks[1].notes()
    strings = tasks[0].data.test_strings.tolist()
    assert tasks[0].notes() == [f"{len(set(map(tuple, strings)))} of the 500 test strings are distinct."]


@torch.inference_mode()
def test_names_counts_and_values(built):
    model, task = built("data=L5")
    results = task.evaluate(model, "test")
    assert set(results) == {"test/loss", "test/nats_above_optimal", "test/accuracy"} | {
        f"test/{name}" for name in RULES
    }
    prompts = task.data.prompts
    for group, number in (("id", len(prompts.id)), ("ood", len(prompts.ood)), ("sos", 1)):
        assert {results[f"test/{group}/{name}"].trials for name in NAMES} == {number}
        finished = results[f"test/{group}/finished"].hits
        assert {results[f"test/{group}_finished/{name}"].trials for name in NAMES} == {finished}
    assert (len(prompts.id), len(prompts.ood)) == (8, 8)  # as many as words of length 4

    strings = task.data.samples("test", 0, 16)
    loss, accuracy, _ = token_loss(model(strings[:, :-1]), strings[:, 1:])
    assert results["test/loss"] == pytest.approx(loss.item(), rel=1e-5)  # over tokens, not over batches
    assert results["test/accuracy"] == pytest.approx(accuracy.item(), rel=1e-5)
    assert task.data.test_optimum is not None and task.data.val_optimum is not None
    assert results["test/nats_above_optimal"] == results["test/loss"] - task.data.test_optimum.loss > 0
    on_validation = task.evaluate(model, "val")
    assert on_validation["val/nats_above_optimal"] == on_validation["val/loss"] - task.data.val_optimum.loss > 0


@torch.inference_mode()
def test_results_do_not_pile_up(built):
    model, task = built("data=L5")
    assert task.evaluate(model, "test") == task.evaluate(model, "test")


@torch.inference_mode()
def test_a_model_that_never_ends_has_null_over_finished(built):
    model, task = built("data=L3", "model=lstm")
    model.head.bias[1] = -1e9  # EOS
    results = task.evaluate(model, "test")
    for name in NAMES:
        assert results[f"test/id_finished/{name}"] == Proportion(0, 0)
        assert value_of(results[f"test/id_finished/{name}"]) is None
    assert value_of(results["test/id/finished"]) == 0.0


@torch.inference_mode()
def test_a_model_that_ends_at_once(built):
    model, task = built("data=L3", "model=lstm")
    model.head.bias[1] = 1e9
    results = task.evaluate(model, "test")
    assert results["test/sos/grammatical"] == Proportion(1, 1)  # the empty string belongs to aNbN
    assert value_of(results["test/id/finished"]) == 1.0
    assert all(record["completion"] == "" for record in task.examples(model))
    scored = sum(record["grammatical"] for record in task.examples(model) if record["set"] == "id")
    assert results["test/id/grammatical"].hits == scored == 1  # aabb, of all strings of length 4


@pytest.mark.parametrize(("data", "kept"), [("L5", "share no string"), ("L3", "share all strings")])
def test_the_title_says_how_the_splits_are_kept_apart(built, data, kept):
    title = built(f"data={data}")[1].title()
    assert title.count(kept) == 1
    assert f", {data} (" in title
    assert "\n" not in title


def test_the_paper_s_numbers_are_named(built):
    assert "L5 (L4 in the paper)" in built("data=L5")[1].title()
    assert "(not in the paper)" in built("data=brackets")[1].title()


def test_loss_ignores_more_padding(built):
    model, task = built("data=L5", "model=lstm")
    batch = task.data.train_batch(0)
    with torch.inference_mode():
        narrow = task.loss(model, batch)
        wide = task.loss(model, torch.nn.functional.pad(batch, (0, 7), value=2))
    assert narrow.item() == pytest.approx(wide.item(), rel=1e-6)


@torch.inference_mode()
def test_examples_are_all_prompts_in_order_with_what_holds(built):
    model, task = built("data=L2")
    records = task.examples(model)
    text = task.grammar.text
    expected = [(group, text(prompt)) for group, prompts in task.prompts.items() for prompt in prompts]
    assert [(record["set"], record["prompt"]) for record in records] == expected
    for record in records:
        written = record["prompt"] + record["completion"]
        if "<" in written:  # it wrote SOS or PAD
            assert not record["grammatical"]
        else:
            whole = torch.tensor([[*task.grammar.parse(written), 1]])
            assert record["grammatical"] == bool(task.grammar.grammatical(whole))
        broken = {task.meanings()[name] for name in ("rule_1", "rule_2") if not record[name]}
        assert {mark["rule"] for mark in record["broken"]} == broken
        length = num_tokens(written)
        assert length == task.max_length or (length < task.max_length and record["finished"])


@torch.inference_mode()
def test_a_validation_shows_a_few_completions_of_each_set(built):
    """Evenly spaced, and as `examples` has them; the empty prompt is one of its set."""
    model, task = built("data=L5", "data.prompt_lengths=[8]")
    records = task.examples(model)
    sets = [[record for record in records if record["set"] == name] for name in ("id", "ood", "sos")]
    shown = [record for rows in sets for record in rows[:: max(1, len(rows) // 6)][:6]]
    assert len(shown) == 13 < len(records) - 20
    heading, _, *lines = task.watch(model)[1]["completions"].split("\n")
    columns = heading.split("|")
    assert [line.replace("`", "").split("|") for line in lines] == [
        [str(record[column]) for column in columns] for record in shown
    ]


@pytest.mark.parametrize(
    ("language", "text", "places"),
    [("L5", "([)]", [2]), ("L5", "(]", [1, 1]), ("L5", "([)", [3, 2]), ("L5", "([])", []), ("L3", "abab", [2]),
     ("L3", "aabbb", [5]), ("L3", "", []), ("L3", "abb<pad>", [3, 3])],
)  # fmt: skip
def test_a_broken_rule_is_marked_where_it_breaks(built, language, text, places):
    """At the first symbol after which no string keeps it, or at the end."""
    _, task = built(f"data={language}")
    symbols = task.grammar.parse(text.removesuffix("<pad>")) + [2] * text.count("<pad>")
    assert [mark["at"] for mark in broken(task.grammar, symbols)] == places


@torch.inference_mode()
def test_eval_max_length_is_the_room_for_prompt_and_completion(built):
    model, task = built("data=L5", "model=lstm", "eval.max_length=40")
    model.head.bias[1] = -1e9
    assert {num_tokens(record["prompt"] + record["completion"]) for record in task.examples(model)} == {40}


@torch.inference_mode()
def test_a_pad_that_the_model_writes_is_shown(built):
    model, task = built("data=L3", "model=lstm")
    model.head.bias[2] = 1e9
    record = next(record for record in task.examples(model) if record["prompt"] == "aabb")
    assert record["completion"] == "<pad>" * 12
    assert not any(record[name] for name in NAMES)


def test_parse_prompt(built):
    _, task = built("data=L5")
    assert task.parse_prompt("( [ ]") == task.parse_prompt("([]") == (3, 5, 6)
    assert task.parse_prompt("") == ()
    with pytest.raises(ValueError, match="'x' is not a symbol"):
        task.parse_prompt("( x")
    with pytest.raises(ValueError, match="17 symbols, at most 16"):
        task.parse_prompt("(" * 17)


@torch.inference_mode()
def test_describe(built):
    model, task = built("data=L3", "model=lstm")
    model.head.bias[1] = 1e9
    assert task.describe(model, task.parse_prompt("aab")).splitlines() == [
        "prompt      aab",
        "completion  (ends at once)",
        "rule 1      no: as many a's as b's",
        "rule 2      yes: a's before b's",
        "completion alone in the order or matching of rule 2: yes",
        "in the language: no",
    ]
    model.head.bias[1] = -1e9
    assert "(not finished within 16 symbols)" in task.describe(model, ())


def test_baselines_have_the_model_s_names_and_stand_where_they_must(built):
    _, task = built("data=L5")
    rows = task.baselines()
    assert list(rows) == ["chance", "uniform", "eos", "ngram", "oracle", "optimal"]
    optimal = rows.pop("optimal")
    assert optimal["test/nats_above_optimal"] == 0 < optimal["test/loss"] < rows["ngram"]["test/loss"]
    assert optimal["test/accuracy"] > rows["chance"]["test/accuracy"]
    assert rows["ngram"]["test/nats_above_optimal"] == rows["ngram"]["test/loss"] - optimal["test/loss"]
    for name, results in rows.items():
        assert {f"test/{group}/{metric}" for group in ("id", "ood", "sos") for metric in NAMES} <= set(results), name
    assert rows["uniform"]["test/ood/rule_1"].trials >= 1000
    for metric in NAMES:
        share, exact = rows["uniform"][f"test/ood/{metric}"], rows["chance"][f"test/ood/{metric}"]
        assert abs(share.value - exact) < 5 * math.sqrt(exact * (1 - exact) / share.trials) + 1e-9, metric
    assert rows["oracle"]["test/id/grammatical"].value == 1.0
    assert rows["oracle"]["test/ood/rule_1_and_rule_2_completion"].value == 1.0
    assert rows["eos"]["test/accuracy"] == pytest.approx(16 / (task.data.samples("test", 0, 16)[:, 1:] != 2).sum())
    assert "test/loss" not in rows["eos"]  # infinite: it gives every string probability 0
    assert 0 < rows["ngram"]["test/loss"] < rows["chance"]["test/loss"]


def test_baselines_are_a_function_of_the_seed(built):
    first, again, other = (built("data=L3", f"seed={seed}")[1].baselines()["uniform"] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_baselines_go_through_the_models_decoding(built):
    _, task = built("data=L5")
    own, baseline = task.evaluate(EndAtOnce(task.data.spec), "test"), task.baselines()["eos"]
    for name in RULES:
        assert own[f"test/{name}"] == baseline[f"test/{name}"], name
    assert task.complete(Uniform(task.data.spec)).tokens.shape == (17, 17)  # 8 + 8 + 1 prompts, SOS and 16 symbols
