"""Strings of formal languages: which lengths there are, how likely each string is, read-outs, and what is refused."""

import itertools
import re
from collections import Counter

import pytest
import torch

from seqlab.errors import InputError
from seqlab.randomness import uniforms
from transduction.bounded_dyck import BoundedDyck
from transduction.datamodule import TransductionDataModule
from transduction.formal import Automaton, Dyck
from transduction.languages import Regular
from transduction.paths import Paths
from transduction.regular import dfa_of
from transduction.task import Transduction

REGEXES = ["(ab|ba)*", "a?b+(ab)*", "()|a|bb*", "(a|b)*a(a|b)(a|b)", "((a))", "(a+b?)+"]


def every_string(letters, length):
    return ["".join(word) for word in itertools.product(letters, repeat=length)]


def ids(strings, letters):
    return torch.tensor([[letters.index(letter) for letter in string] for string in strings])


@pytest.mark.parametrize("regex", REGEXES)
def test_an_automaton_accepts_what_python_matches(regex):
    language = Regular(dfa_of(regex, "ab"), regex)
    for length in range(1, 8):
        strings = every_string("ab", length)
        inside = [bool(re.fullmatch(regex, string)) for string in strings]
        assert language.contains(ids(strings, "ab")).tolist() == inside
        assert [row[-1].inside for row in map(language.read, ids(strings, "ab").tolist())] == inside
        assert (language.has_members(length), language.has_others(length)) == (any(inside), not all(inside))


@pytest.mark.parametrize("regex", REGEXES)
def test_what_may_follow_is_what_some_longer_string_has(regex):
    language = Regular(dfa_of(regex, "ab"), regex)
    members = [w for n in range(10) for w in every_string("ab", n) if re.fullmatch(regex, w)]
    starts = {word[:end] for word in members for end in range(len(word) + 1)}
    for length in range(1, 5):
        strings = every_string("ab", length)
        expected = [[string + "a" in starts, string + "b" in starts, string in members] for string in strings]
        assert language.following(ids(strings, "ab"))[:, -1].tolist() == expected


@pytest.mark.parametrize("language", [Regular(dfa_of("(a(ab)*b)*"), "D2"), BoundedDyck(2, 3)], ids=lambda one: one.name)
def test_members_and_others_are_equally_likely(language):
    for draw, needed, inside in (
        (language.members, language.num_uniforms, True),
        (language.others, language.num_uniforms_others, False),
    ):
        strings = [tuple(row) for row in draw(6, uniforms(1, "many", 0, 6000, needed(6))).tolist()]
        everything = [w for w in language.all_strings(6).tolist() if language.read(w)[-1].inside == inside]
        assert set(strings) <= set(map(tuple, everything))
        mean = 6000 / len(everything)
        counts = Counter(strings)
        deviation = sum((counts[tuple(word)] - mean) ** 2 / mean for word in everything)  # chi squared
        assert abs(deviation - len(everything)) < 5 * (2 * len(everything)) ** 0.5


def test_a_lost_string_has_no_state():
    problem = Automaton(regex="(ab)*", readout="state")
    assert problem.parse("a b a").shape == (1, 3)
    with pytest.raises(ValueError, match=r"no string of .* begins so"):
        problem.parse("b b")


def test_paths_are_counted_without_limit():
    fibonacci = Paths([[1, 0], [2, 0], [2, 2]], [True, True, False])  # no two of letter 0 in a row
    assert [fibonacci.number(n) for n in range(8)] == [1, 2, 3, 5, 8, 13, 21, 34]
    assert fibonacci.number(1400) == pytest.approx(((1 + 5**0.5) / 2) ** 1402 / 5**0.5, rel=1e-11)
    assert fibonacci.number(2000) == float("inf") and fibonacci.exist(2000)
    letters, states = fibonacci.draw(2000, uniforms(1, "long", 0, 50, 2000))
    assert (states < 2).all() and not ((letters[:, 1:] == 0) & (letters[:, :-1] == 0)).any()
    assert (letters == 0).double().mean() == pytest.approx((5 - 5**0.5) / 10, abs=0.01)


@pytest.mark.parametrize("readout", ["member", "accept", "next"])
def test_one_kind_of_brackets_is_a_regular_language(readout):
    """Dyck-(1, 2) is D2; the two share no code that draws or reads."""
    dyck, regular = Dyck(kinds=1, depth=2, readout=readout), Automaton(regex="(a(ab)*b)*", readout=readout)
    strings = regular.draw(6, uniforms(1, "x", 0, 100, regular.num_uniforms(6))).inputs
    assert torch.equal(dyck.oracle(strings), regular.oracle(strings))
    for problem in (dyck, regular):
        for length in (2, 6, 14):
            drawn = problem.draw(length, uniforms(1, "y", 0, 100, problem.num_uniforms(length)))
            assert torch.equal(problem.oracle(drawn.inputs)[drawn.mask], drawn.targets[drawn.mask])


def test_half_of_the_strings_are_members_and_many_others_nearly():
    problem = Automaton(regex="0*1*0*1*", alphabet="01")
    drawn = problem.draw(30, uniforms(1, "x", 0, 4000, problem.num_uniforms(30)))
    assert abs(drawn.targets[:, -1].double().mean() - 0.5) < 0.04
    outside = drawn.inputs[drawn.targets[:, -1] == 0, :-1]
    runs = (outside[:, 1:] != outside[:, :-1]).sum(1) + outside[:, 0]
    assert 0.12 < (runs <= 7).double().mean() < 0.35  # one change away; a random string has fifteen runs


def test_at_each_step_the_string_so_far_is_asked():
    problem = Automaton(regex="(ab)*", readout="accept")
    assert problem.kind.text(problem.oracle(problem.parse("ababba"))[0]) == "no yes no yes no no"
    assert problem.kind.text(Automaton(regex="(ab)*").oracle(Automaton(regex="(ab)*").parse("abab"))[0, -1:]) == "yes"


def test_states_are_those_from_which_something_is_reached():
    problem = Automaton(regex="abc", readout="state")
    assert problem.answers == ("0", "1", "2", "3") and [problem.has(n) for n in (1, 2, 3, 4)] == [True] * 3 + [False]
    drawn = problem.draw(3, uniforms(1, "x", 0, 5, 3))
    assert drawn.inputs.tolist() == [[0, 1, 2]] * 5 and drawn.targets.tolist() == [[1, 2, 3]] * 5
    problem = Automaton(regex="(a|b)*a(a|b)", readout="state")
    drawn = problem.draw(20, uniforms(1, "x", 0, 4000, 20))
    assert torch.equal(problem.oracle(drawn.inputs), drawn.targets)
    assert drawn.targets[:, -1].bincount().double() / 4000 == pytest.approx([0.25] * 4, abs=0.04)


def test_only_lengths_that_exist_are_drawn():
    data = TransductionDataModule(problem=Automaton(regex="(ab|ba)*"), max_length=7, test_lengths=(8, 9, 20))
    assert {data.train_batch(step).inputs.shape[1] - 1 for step in range(40)} == {2, 4, 6}
    assert data.bins == {"1-7": [2, 4, 6], "8-8": [8], "10-20": [10, 12, 14, 16, 18, 20]}
    with pytest.raises(ValueError, match=r"data\.max_length=1: this problem has no strings of lengths 1 to 1"):
        TransductionDataModule(problem=Automaton(regex="(ab|ba)*"), max_length=1)


def test_sets_are_scored_as_wholes():
    data = TransductionDataModule(problem=Automaton(regex="(a(ab)*b)*", readout="next"), max_length=8, num_test=16)
    task = Transduction(data)
    assert task.columns["whole, 1-8"] == "test/1-8/whole"
    rows = task.baselines()
    assert rows["oracle"]["test/horizon"] == 8 and rows["oracle"]["test/1-8/whole"].value == 1
    assert rows["chance"]["test/loss"] == pytest.approx(0.6931, abs=1e-4) and rows["chance"]["test/1-8/last"] == 1 / 8
    batch = data.drawn("test", 6, 0, 4)
    logits = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1))
    by_hand = -(torch.where(batch.targets, logits, -logits).sigmoid().log()).mean()
    assert data.problem.kind.loss(logits[batch.mask], batch.targets[batch.mask]).item() == pytest.approx(by_hand.item())
    with pytest.raises(InputError, match="'c' is not a symbol"):
        task.parse_prompt("a c")


@pytest.mark.parametrize(
    ("regex", "part"),
    [
        ("(ab", "regex=\\(ab is no regular expression"),
        ("a||b", "is no regular expression"),
        ("*a", "is no regular expression"),
        ("a{3}", "'{' is not allowed; allowed: letters, digits and"),
        ("a&b", "'&' is not allowed"),
        ("ä", "'ä' is not allowed"),
        ("", "has no letter"),
        ("()", "has no letter"),
        ("(a|b)*", "every string of a b is in"),
        ("a" * 201, "regex has 201 signs; allowed: at most 200"),
        ("(a|b)*a" + 20 * "(a|b)", "needs too many states; allowed: at most 200"),
        ("(a|b)*a" + 8 * "(a|b)", "states; allowed: at most 200"),
    ],
)
def test_what_is_no_regex_is_refused(regex, part):
    with pytest.raises(ValueError, match=part):
        Automaton(regex=regex)


@pytest.mark.parametrize(
    "regex",
    [65 * "(" + "a" + 65 * ")*", 25 * "(a?b?)*", "(" + "|".join("abcdefghijklmnopqrstuvwxyz") + ")*a", "a" * 198],
)
def test_hard_ones_are_read_all_the_same(regex):
    assert len(dfa_of(regex, "Z").moves) <= 201


def test_one_live_state_is_no_question():
    with pytest.raises(ValueError, match="a single state before a string is lost"):
        Automaton(regex="a*", alphabet="b", readout="state")


@pytest.mark.slow
def test_the_library_waits_until_a_regex_is_read(python):
    code = (
        "import sys, transduction.task, transduction.formal\n"
        "before = 'automata' in sys.modules\n"
        "transduction.formal.Automaton()\n"
        "print(before, 'automata' in sys.modules)"
    )
    assert python("-c", code).stdout == "False True\n"
