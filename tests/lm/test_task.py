"""A language model in training: its numbers, its samples, its checkpoint; and the commands on a finished run."""

import json
import re

import pytest
import torch

from lm.evaluate import evaluate
from lm.generate import main as generate
from lm.metrics import BLOCK, token_scores
from lm.text_run import load_text_run
from seqlab.errors import InputError
from seqlab.model import num_parameters
from seqlab.proportion import value_of
from seqlab.run.build import build
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder in which the tokenizer of tiny-shakespeare is kept for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("model", "options", "number"),
    [
        ("lstm", [], 2_078_672),
        ("transformer", ["model.norm=post"], 2_607_312),
        ("transformer", [], 2_607_824),
        ("lstm", ["model.tied=true"], 2_078_672 - 2000 * 256),
        ("transformer", ["model.tied=true"], 2_607_824 - 2000 * 256),
    ],
)
def test_the_models_that_were_asked_for(compose, cache, model, options, number):
    run = build(compose(f"model={model}", "data=text", f"data.cache_dir={cache}", *options, full=True))
    assert run.datamodule.spec.input.size == 2000
    assert num_parameters(run.model) == number
    if model == "lstm":
        weights = run.model.embedding.weight
        assert -0.1 <= weights.min() < -0.099 and 0.099 < weights.max() <= 0.1
    else:
        assert not any("table" in name for name in run.model.state_dict())  # positions are a buffer that is not saved


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_run_leaves_its_numbers_samples_and_tokenizer(text_runs, name):
    run_dir = text_runs[name]
    summary = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    metrics = summary["metrics"]
    model, task, _ = load_text_run(run_dir)
    ids = torch.from_numpy(task.data.ids("test").astype("int64"))
    nats = token_scores(model, ids, stride=task.stride).nats.double()
    characters = sum(map(len, task.data.corpus.test))
    assert metrics["test/perplexity"] == pytest.approx(float(nats.mean().exp()), rel=1e-5)
    assert metrics["test/bits_per_character"] == pytest.approx(float(nats.sum()) / characters / 0.693147, rel=1e-5)
    assert {"gzip", "xz", "unigram of tokens"} <= set(summary["baselines"])
    assert (run_dir / "tokenizer.json").read_text(encoding="utf-8") == task.data.tokenizer.json
    assert "tokens_per_second" in (run_dir / "metrics.csv").read_text(encoding="utf-8")
    records = [json.loads(line) for line in (run_dir / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {record["prompt"]: record["prompt"] + record["completion"] for record in records} == task.samples(model)
    assert (run_dir / "plots" / "bits_per_character.png").is_file()


def test_a_test_gives_perplexity_its_interval(text_runs):
    model, task, _ = load_text_run(text_runs["lstm"])
    assert len(task.data.ids("test")) > BLOCK  # two blocks, of which an interval needs two
    results = task.evaluate(model, "test")
    names = [f"test/perplexity{bound}" for bound in ("_low", "", "_high")]
    low, perplexity, high = (value_of(results[name]) or 0.0 for name in names)
    assert low < perplexity < high


def test_a_checkpoint_holds_its_tokenizer(text_runs, tmp_path):
    """It works where neither its text nor its cache is."""
    content = torch.load(text_runs["lstm"] / "checkpoints" / "best.ckpt", weights_only=True)
    content["config"]["data"] |= {"path": str(tmp_path / "gone"), "cache_dir": str(tmp_path / "no_cache")}
    torch.save(content, tmp_path / "moved.ckpt")
    model, task, _ = load_text_run(tmp_path / "moved.ckpt")
    described = task.describe(model, (prompt := task.parse_prompt("MENENIUS:\n")))
    first, second, sample = described.split("\n", 2)
    assert first.startswith("next    ") and second == "sample  (temperature 0.8, seed 1)"
    ids = task.generate(model, prompt, prompt.shape[1] + 16, temperature=0.8, seed=1)[0]
    assert sample == task.data.tokenizer.decode(ids.tolist()), "sixteen tokens, so that a prompt takes a moment"
    assert "unknown" in evaluate(str(tmp_path / "moved.ckpt"), str(ROOT / "tests" / "lm" / "coriolanus.txt"))


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_generation_repeats_and_continues_its_prompt(text_runs, name):
    model, task, _ = load_text_run(text_runs[name])
    start = torch.tensor([[5, 6, 7], [8, 9, 10]])
    one = task.generate(model, start, 60, temperature=0.9, top_k=50, top_p=0.9, seed=3)  # beyond the context of 16
    assert one.shape == (2, 60) and torch.equal(one[:, :3], start)
    assert torch.equal(one, task.generate(model, start, 60, temperature=0.9, top_k=50, top_p=0.9, seed=3))
    assert not torch.equal(one, task.generate(model, start, 60, temperature=0.9, top_k=50, top_p=0.9, seed=4))
    greedy = task.generate(model, start, 12, top_k=1)
    assert torch.equal(greedy[:, 3], model(start)[:, -1].argmax(-1))
    with pytest.raises(ValueError, match="3 start tokens: 1 to max_length=2"):
        task.generate(model, start, 2)


def test_the_command_writes_samples(text_runs, capsys):
    words = [str(text_runs["lstm"]), "--prompt", "MENENIUS:", "--num-samples", "2", "--max-tokens", "9", "--seed", "4"]
    assert generate(words) == 0
    out = capsys.readouterr().out
    assert out.count("--- sample") == out.count("MENENIUS:") == 2
    assert generate(words) == 0
    assert capsys.readouterr().out == out
    first, second = out.split("--- sample 2\n")
    assert first.removeprefix("--- sample 1\n") != second


def test_a_temperature_of_nothing_is_greedy(text_runs, capsys):
    def written(*words):
        assert generate([str(text_runs["lstm"]), "--prompt", "MENENIUS:", "--max-tokens", "20", *words]) == 0
        return capsys.readouterr().out

    greedy = written("--top-k", "1")
    for temperature in ("0", "-0.0", "1e-45", "1e-320"):
        assert written("--temperature", temperature) == written("--temperature", temperature, "--seed", "2") == greedy


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("transformer", ["--prompt", "x" * 200], "the prompt has .*, and the model reads data.context_length=16"),
        ("lstm", ["--temperature", "nan"], "temperature=nan must be finite"),
        ("lstm", ["--temperature", "-1"], "temperature=-1.0 must be finite, and 0 .greedy. or above"),
        ("lstm", ["--prompt", "a\udcffb"], "'a.udcffb': byte 0xff is not UTF-8"),
        ("lstm", ["--top-k", "0"], "top_k=0 must be at least 1"),
        ("lstm", ["--top-p", "1.5"], "top_p=1.5 must be above 0 and at most 1"),
        ("lstm", ["--num-samples", "0"], "--num-samples 0: must be at least 1"),
        ("lstm", ["--checkpoint", "none.ckpt"], "no checkpoint at"),
    ],
)
def test_the_command_refuses(text_runs, capsys, model, words, message):
    assert generate([str(text_runs[model]), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


def test_a_run_on_other_data_is_refused(finished_run):
    with pytest.raises(InputError, match="is not a run on text"):
        load_text_run(finished_run[0])


def test_evaluation_on_other_text(text_runs, tmp_path):
    trained = evaluate(str(text_runs["lstm"]), str(ROOT / "tests" / "lm" / "coriolanus.txt"))
    assert "NOT A TEST" in trained and "bits per byte" in trained
    assert re.search(r"^perplexity +[\d.]+ \(95%: [\d.]+ to [\d.]+\)$", trained, re.MULTILINE)
    (tmp_path / "new.txt").write_text("Here is a line which no play of his has ever had in it.\n" * 3, encoding="utf-8")
    other = evaluate(str(text_runs["lstm"]), str(tmp_path / "new.txt"))
    assert "NOT A TEST" not in other and "0 of 1 lines" in other
    words = (ROOT / "tests" / "lm" / "coriolanus.txt").read_text(encoding="utf-8").split()
    for separator in ("\n", " "):  # lines of one word, and one line of all
        (tmp_path / "rewritten.txt").write_text(separator.join(words), encoding="utf-8")
        again = evaluate(str(text_runs["lstm"]), str(tmp_path / "rewritten.txt"))
        assert re.search(r"NOT A TEST: [\d,]+ of [\d,]+ pieces of 40 characters are in the training text", again)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"latin\.txt is not UTF-8"):
        evaluate(str(text_runs["lstm"]), str(tmp_path / "latin.txt"))
