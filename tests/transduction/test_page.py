"""docs/transduction.md draws a string of each problem of conf/data, with the answers that the problem gives."""

import re

import pytest

from seqlab.run.build import construct
from tests.conftest import ROOT
from tests.transduction.test_problems import CHOICES

PAGE = (ROOT / "docs" / "transduction.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.split(" | ")] for line in PAGE.splitlines() if re.match(r"\| [\w, ]+ \| `", line)
]
OTHERS = {  # what is shown is not of the problem that the file has
    "tomita1 to tomita7": ["data=tomita4"],
    "dyck_2_3, dyck_8_10": ["data=dyck_2_3"],
    "selective_copy": ["data=selective_copy", "data.problem.number=3"],
}


def named(row):
    """The choices that a row is about."""
    first, _, last = row[0].lstrip("| ").partition(" to ")
    return [f"{first[:-1]}{n}" for n in range(int(first[-1]), int(last[-1]) + 1)] if last else first.split(", ")


def test_each_problem_is_there():
    assert sorted(name for row in ROWS for name in named(row)) == CHOICES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].lstrip("| "))
def test_the_answers_are_those_of_the_problem(row, compose):
    title, string, answers = row[0].lstrip("| "), row[1].strip("`"), re.findall("`([^`]+)`", row[2])
    if not answers:
        assert title == "memorise"  # nobody can know them
    for choice, expected in zip(named(row), answers, strict=False):
        problem = construct(compose(*OTHERS.get(title, [f"data={choice}"]), full=True)["data"]["problem"])
        inputs = problem.parse(string)
        assert " ".join(problem.symbols[symbol] for symbol in inputs[0].tolist()) == string
        assert problem.kind.text(problem.oracle(inputs)[problem.due(inputs)]) == expected
