"""Strings outside a language that look like its own: what neighbouring letters tell, and what they do not."""

from itertools import pairwise, product

import pytest
import torch

from rule_extrapolation.letters import ANBM, ANBN, BbaN
from seqlab.randomness import uniforms
from transduction.formal import Automaton
from transduction.grammatical import Grammatical
from transduction.neighbours import Neighbours


def fits(string, members):
    """By the sets of what begins, follows and ends, in plain Python."""
    pairs = {pair for member in members for pair in pairwise(member)}
    begins, ends = {member[0] for member in members}, {member[-1] for member in members}
    followed = all(pair in pairs for pair in pairwise(string))
    return string[0] in begins and string[-1] in ends and followed


@pytest.mark.parametrize("members", [["aabb"], ["abcab", "bbccc"], ["c"], ["ab", "ca"]])
def test_a_string_fits_if_all_its_neighbours_do(members):
    letters = "abc"
    neighbours = Neighbours(torch.tensor([[letters.index(one) for one in member] for member in members]), 3)
    for length in range(1, 6):
        strings = list(product(range(3), repeat=length))
        expected = [[fits([letters[one] for one in s[: n + 1]], members) for n in range(length)] for s in strings]
        assert neighbours.fit(torch.tensor(strings)).tolist() == expected


def test_strings_that_fit_are_drawn_alike():
    """Against aaaabbbb: one a to seven, each as often."""
    neighbours = Neighbours(torch.tensor([[0] * 4 + [1] * 4]), 2)
    drawn = neighbours.draw(uniforms(1, "x", 0, 7000, 8))
    assert neighbours.fit(drawn)[:, -1].all()
    counts = torch.bincount((drawn == 0).sum(1), minlength=8)[1:]
    assert counts.sum() == 7000 and (counts - 1000).abs().max() < 5 * 30


@pytest.mark.parametrize("readout", ["member", "accept"])
def test_a_count_must_be_taken_to_tell_all_others(readout):
    """A third of the strings outside a^n b^n have their letters in order."""
    problem = Grammatical(language=ANBN(), readout=readout)
    drawn = problem.draw(60, uniforms(1, "x", 0, 3000, problem.num_uniforms(60)))
    answers = drawn.targets[:, -1]
    strings = drawn.inputs[:, :60]
    ordered = (strings[:, 1:] >= strings[:, :-1]).all(1) & (strings[:, 0] == 0) & (strings[:, -1] == 1)
    assert ordered[answers == 1].all()
    assert 1 / 3 - 0.05 < ordered[answers == 0].double().mean() < 1 / 3 + 0.1
    assert torch.equal(problem.shortcuts()["by neighbours"](drawn.inputs)[:, -1].bool(), ordered)


@pytest.mark.parametrize(
    ("problem", "lowest", "highest"),
    [
        (Grammatical(language=ANBM()), 1.0, 1.0),  # neighbours are all there is to it
        (Grammatical(language=BbaN()), 0.75, 0.9),
        (Automaton(regex="(c*ac*b)*c*"), 0.7, 0.85),
        (Automaton(regex="b*(ab*ab*)*"), 0.45, 0.55),  # parity: they tell nothing
    ],
    ids=["aNbM", "bbaN", "a and b in turn", "parity"],
)
def test_what_neighbours_tell(problem, lowest, highest):
    drawn = problem.draw(24, uniforms(1, "x", 0, 2000, problem.num_uniforms(24)))
    right = problem.shortcuts()["by neighbours"](drawn.inputs)[:, -1] == drawn.targets[:, -1]
    assert lowest <= right.double().mean() <= highest


def test_a_string_is_a_function_of_its_own_uniforms():
    problem = Grammatical(language=ANBN())
    numbers = uniforms(1, "x", 0, 40, problem.num_uniforms(10))
    together = problem.draw(10, numbers).inputs
    apart = torch.cat([problem.draw(10, one[None]).inputs for one in numbers])
    assert torch.equal(together, apart)
