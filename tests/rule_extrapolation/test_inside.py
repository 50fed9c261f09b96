"""One prompt looked at: rules that are left and faults, against all completions; sampled completions."""

from itertools import product

import pytest
import torch

from rule_extrapolation.baselines import Uniform
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.inside import answers, best, faults, named_rules, rules_left, steps
from rule_extrapolation.letters import ANBN
from rule_extrapolation.rules import EOS
from seqlab.answers import GREEDY, Sampling
from seqlab.spec import Classes, Spec, Tokens

LONGEST = 4  # of completions; from four symbols, four more keep whatever can be kept


def holds(rule, string):
    return bool(rule(torch.tensor([[*string, EOS]])))


def completions(grammar):
    return [more for length in range(LONGEST + 1) for more in product(grammar.symbol_ids, repeat=length)]


@pytest.mark.parametrize(
    ("grammar", "texts"), [(ANBN(), ["aab", "ba", "abb", ""]), (Dyck(), ["([", ")(", "[)", "()]"])]
)
def test_a_rule_is_left_where_some_completion_keeps_it(grammar, texts):
    every = completions(grammar)
    for text in texts:
        prompt = tuple(grammar.parse(text))
        left = rules_left(grammar, prompt)
        for words, rule in named_rules(grammar).items():
            expected = [any(holds(rule, prompt[:n] + more) for more in every) for n in range(len(prompt) + 1)]
            assert list(left[words]) == expected, (text, words)


@pytest.mark.parametrize(("grammar", "length"), [(ANBN(), 4), (Dyck(), 3)])
def test_a_string_has_a_fault_for_each_rule_that_it_breaks(grammar, length):
    rules = {words: rule for words, rule in named_rules(grammar).items() if words.startswith("rule")}
    for string in product(grammar.symbol_ids, repeat=length):
        found = {fault.reason.removeprefix("breaks "): fault.place for fault in faults(grammar, string, ended=True)}
        assert found.keys() == {words for words, rule in rules.items() if not holds(rule, string)}
        for words, place in found.items():
            kept = rules_left(grammar, string)[words]
            assert all(kept[: place + 1]) and (place == length or not kept[place + 1])


def test_a_string_that_was_cut_breaks_nothing_by_ending():
    grammar = ANBN()
    assert [fault.place for fault in faults(grammar, grammar.parse("aab"), ended=True)] == [3]
    assert faults(grammar, grammar.parse("aab"), ended=False) == []
    assert [fault.place for fault in faults(grammar, grammar.parse("aba"), ended=False)] == [2]


def test_completions_and_steps_of_a_model():
    grammar = ANBN()
    model = Uniform(Spec(Tokens(5), Classes(5), max_length=9, sos=0, eos=1, pad=2))
    prompt = tuple(grammar.parse("aab"))
    found = steps(model, grammar, prompt, 9)
    assert list(found.places) == ["(start)", "a", "a", "b"] and list(found.outcomes[:3]) == ["a", "b", "(end)"]
    torch.testing.assert_close(found.probabilities[:, :3], torch.full((4, 3), 1 / 3))
    (greedy,) = answers(model, grammar, prompt, 8, GREEDY)
    assert greedy.text == "" and greedy.prompt == ["a", "a", "b"] and greedy.faults[0].place == 3
    several = answers(model, grammar, prompt, 8, Sampling(20, seed=4))
    assert [one.text for one in answers(model, grammar, prompt, 8, Sampling(2, seed=4))] == [
        one.text for one in several[:2]
    ]
    assert len({one.text for one in several}) > 5
    for one in several:
        whole = grammar.parse("".join([*one.prompt, *one.completion]))
        broken = {fault.reason for fault in one.faults}
        assert one.note or broken == {
            f"breaks {w}" for w, r in named_rules(grammar).items() if "rule " in w and not holds(r, whole)
        }


def test_the_best_completion():
    assert best(ANBN(), tuple(ANBN().parse("aab")), 8) == "b"
    assert "no completion" in best(ANBN(), tuple(ANBN().parse("ba")), 8)
