"""seqlab predict: several prompts, those of the input, and JSON; the run is loaded once."""

import io
import json
import sys

import pytest

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
        assert records == [
            {"prompt": prompt, "answer": text.removesuffix("\n")} for prompt, text in zip(typed, each, strict=True)
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
