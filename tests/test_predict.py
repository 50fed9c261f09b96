"""seqlab predict: several prompts, those of the input, JSON, distributions and samples; the run is loaded once."""

import io
import json
import sys

import pytest
import torch

from seqlab.predict import main


def answers(capsys, *words):
    assert main(list(map(str, words))) == 0
    return capsys.readouterr().out


def test_several_prompts_are_answered_as_one_by_one(finished_run, capsys):
    run, *_ = finished_run
    each = [answers(capsys, run, prompt) for prompt in ("( [ ]", "", ") [")]
    assert answers(capsys, run, "( [ ]", "", ") [") == "\n".join(each)


@pytest.mark.parametrize("words", [["( [ ]", "-"], ["-", "--json"]])
def test_the_lines_of_the_input_are_prompts(finished_run, capsys, monkeypatch, words):
    run, *_ = finished_run
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b") [\r\n\n( (\n"), encoding="utf-8"))
    found = answers(capsys, run, *words)
    typed = [word for word in words if "-" not in word] + [") [", "", "( ("]
    each = [answers(capsys, run, prompt) for prompt in typed]
    if "--json" in words:
        records = [json.loads(line) for line in found.splitlines()]
        assert [(record["prompt"], record["answer"]) for record in records] == [
            (prompt, text.removesuffix("\n")) for prompt, text in zip(typed, each, strict=True)
        ]
    else:
        assert found == "\n".join(each)


def test_a_bad_prompt_among_several_is_named_and_those_before_it_are_answered(finished_run, capsys, monkeypatch):
    run, *_ = finished_run
    first = answers(capsys, run, "( [ ]")
    for given, word in ((b"( [ ]\nx\n", "'x'"), (b"( [ ]\n\xff\n", "byte 0xff is not UTF-8")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
        assert main([str(run), "-"]) == 2
        told = capsys.readouterr()
        assert told.out == first
        assert told.err.startswith("error: prompt 2: ") and word in told.err and told.err.count("\n") == 1


def records(capsys, *words):
    return [json.loads(line) for line in answers(capsys, *words, "--json").splitlines()]


def test_json_has_the_completion_and_its_faults_as_fields(finished_run, capsys):
    run, *_ = finished_run
    for record in records(capsys, run, "( [", ") ["):
        completion = record["answer"].splitlines()[1].split(maxsplit=1)[1]
        assert record["completion"].replace(" ", "") == completion.replace(" ", "").replace("(endsatonce)", "")
        broken = {
            line.split()[1] for line in record["answer"].splitlines() if line.startswith("rule") and " no: " in line
        }
        assert {fault["reason"].split()[2].strip(":") for fault in record["faults"]} == broken
        (sampled,) = records(capsys, run, record["prompt"], "--sample", "--temperature", 0)
        assert sampled["samples"] == [{key: record[key] for key in ("completion", "faults", "note")}]


def test_the_distribution_at_each_step(finished_run, capsys):
    run, *_ = finished_run
    (record,) = records(capsys, run, "( [", "--probs")
    assert [step["at"] for step in record["probs"]] == ["(start)", "(", "["]
    for step in record["probs"]:
        probabilities = [probability for _, probability in step["next"]]
        assert sum(probabilities) == pytest.approx(1, abs=1e-4) and probabilities == sorted(probabilities, reverse=True)
    completion = record["answer"].splitlines()[1].split(maxsplit=1)[1]
    first = record["probs"][-1]["next"][0][0]
    assert completion.startswith(first) or (first == "(end)" and completion == "(ends at once)")
    shown = answers(capsys, run, "( [", "--probs")
    assert shown.startswith(record["answer"]) and f"at [        {first} (" in shown


def test_samples_are_a_function_of_the_seed_and_their_number(finished_run, capsys):
    run, *_ = finished_run
    (five,) = records(capsys, run, "( [", "--sample", "--num", 5, "--seed", 7)
    assert len(five["samples"]) == 5
    other, two = records(capsys, run, ")", "( [", "--sample", "--num", 2, "--seed", 7)
    assert two["samples"] == five["samples"][:2] != other["samples"]
    assert records(capsys, run, "( [", "--sample", "--num", 5, "--seed", 8)[0]["samples"] != five["samples"]
    (greedy,) = records(capsys, run, "( [", "--sample", "--temperature", 0)
    (single,) = records(capsys, run, "( [", "--sample", "--top-k", 1)
    assert greedy["samples"] == single["samples"]
    text = answers(capsys, run, "( [", "--sample", "--num", 5, "--seed", 7)
    assert all(one["completion"] in text for one in five["samples"]) and "sample 5 " in text


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--num", "3"], "--num 3 says how to sample: add --sample"),
        (["--top-k", "2", "--probs"], "--top-k 2 says how to sample: add --sample"),
        (["--sample", "--num", "0"], "--num 0: must be at least 1"),
        (["--sample", "--num", "10001"], "--num 10001: must be at most 10,000"),
        (["--sample", "--top-k", "0"], "--top-k 0: must be at least 1"),
        (["--sample", "--seed", "-1"], "--seed -1: must be at least 0"),
        (["--sample", "--temperature", "-1"], "--temperature -1.0: must be finite"),
        (["--sample", "--temperature", "nan"], "--temperature nan: must be finite"),
    ],
)
def test_bad_ways_to_sample_are_one_line(words, part, capsys):
    assert main(["no/run", "( [", *words]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"error: {part}") and told.err.count("\n") == 1


def test_probabilities_that_are_no_numbers_are_one_line_of_json(finished_run, tmp_path, capsys):
    checkpoint = tmp_path / "nan.ckpt"
    content = torch.load(finished_run[0] / "checkpoints" / "best.ckpt", weights_only=True)
    for weight in content["state_dict"].values():
        if weight.is_floating_point():
            weight.fill_(float("nan"))
    torch.save(content, checkpoint)
    assert main([str(checkpoint), "( [", "--probs", "--json"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "error: the model's probabilities are not numbers\n")
