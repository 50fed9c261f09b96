"""Test prompts: how many, none twice, and truly completable or not."""

import pytest
import torch

from rule_extrapolation.dyck import Brackets, Dyck, Parentheses, Separated, ShuffleDyck
from rule_extrapolation.letters import ANBM, ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN
from rule_extrapolation.prompts import (
    framed,
    grammatical_completion,
    oracle_completion,
    oracle_sequences,
    prompts,
    shortest_completion,
    state_after,
)
from rule_extrapolation.rules import All

GRAMMARS = [
    *(BaN(), BbaN(), ANBN(), ANBNCN(), Dyck(), ShuffleDyck()),
    *(AbN(), ANBM(), ANBNAN(), Parentheses(), Brackets(), Separated()),
]
every_grammar = pytest.mark.parametrize("grammar", GRAMMARS, ids=[grammar.name for grammar in GRAMMARS])


@pytest.mark.parametrize(
    ("grammar", "num_id", "num_ood"),
    [
        (BaN(), 128, 128),
        (BbaN(), 8, 8),
        (ANBN(), 5, 251),
        (ANBNCN(), 4, 239),
        (Dyck(), 40, 40),
        (ShuffleDyck(), 70, 70),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_published_prompts(grammar, num_id, num_ood):
    found = prompts(grammar)
    assert (len(found.id), len(found.ood), found.sos) == (num_id, num_ood, [()])


@every_grammar
def test_no_prompt_occurs_twice(grammar):
    found = prompts(grammar)
    assert len({*found.id, *found.ood}) == len(found.id) + len(found.ood) > 0


def test_prompts_of_l2_and_l5():
    l2 = prompts(BbaN(), 3)
    assert [BbaN().text(prompt) for prompt in l2.id] == ["baa", "bba", "bbb"]
    assert [BbaN().text(prompt) for prompt in l2.ood] == ["abaa", "abba", "abbb"]
    l5 = prompts(Dyck(), 2)
    assert [Dyck().text(prompt) for prompt in l5.id] == ["([()", "([[]"]
    assert [Dyck().text(prompt) for prompt in l5.ood] == [")[()", ")[[]"]


@every_grammar
def test_the_split_and_the_shortest_completions_are_those_of_trying_everything(grammar):
    """Up to six further symbols (four symbols: five) every completion is tried."""
    found = prompts(grammar, 2 if grammar.completion_start else 3)
    tried = [grammar.all_strings(length) for length in range(6 if len(grammar.symbols) == 4 else 7)]
    for prompt in [*found.id, *found.ood, ()]:
        prefix = torch.tensor(prompt, dtype=torch.long)
        works = [grammar.grammatical(torch.cat([prefix.expand(len(c), -1), c], 1)).any().item() for c in tried]
        if prompt in found.ood:
            assert not any(works)
        else:
            completion = grammatical_completion(grammar, prompt)
            assert works.index(True) == len(completion)
            assert grammar.grammatical(torch.tensor([prompt + completion])).item()


@every_grammar
def test_a_longer_search_completes_no_more_prompts(grammar):
    scored = [(grammar.rule_1, 0), (grammar.rule_2, 0)]
    for length in (2, 4) if grammar.length_step == 2 else (1, 2, 3, 4, 5):
        for prompt in prompts(grammar, length).ood:
            assert shortest_completion(scored, prompt, grammar.symbol_ids, 4 * len(prompt) + 12) is None


@every_grammar
def test_needs_never_exceeds_the_shortest_completion(grammar):
    bounds = []
    for rule in (grammar.rule_1, grammar.rule_2, grammar.grammatical):
        for word in map(tuple, grammar.all_strings(5 if len(grammar.symbols) < 4 else 4).tolist()):
            completion = shortest_completion([(rule, 0)], word, grammar.symbol_ids, 12)
            if completion is not None:
                assert rule.needs(state_after(rule, word)) <= len(completion)
                bounds.append(rule.needs(state_after(rule, word)))
    assert bounds


@every_grammar
def test_the_oracle_keeps_what_can_be_kept(grammar):
    found = prompts(grammar)
    for prompt in found.id:
        string = torch.tensor([prompt + oracle_completion(grammar, prompt, 32 - len(prompt))])
        assert grammar.grammatical(string).item()
    if grammar.label is None:
        return
    for prompt in found.ood:  # in L1 to L6 rule 1 and the order of the completion are always within reach
        string = torch.tensor([prompt + oracle_completion(grammar, prompt, 32 - len(prompt))])
        later = string[:, grammar.completion_from(len(prompt)) :]
        assert grammar.rule_1(string).item() and grammar.rule_2_completion(later).item()


def test_oracle_completions_by_hand():
    assert Dyck().text(oracle_completion(Dyck(), (3, 5, 3, 4), 8)) == "])"
    assert Dyck().text(oracle_completion(Dyck(), (4, 5, 3, 4), 8)) == "]"
    assert ANBN().text(oracle_completion(ANBN(), (4, 3, 4, 4), 8)) == "aa"
    assert ANBN().text(oracle_completion(ANBN(), (3, 3), 8)) == "bb"
    assert oracle_completion(ANBN(), (3, 3, 3), 2) == ()  # no room
    assert Brackets().text(oracle_completion(Brackets(), (6,), 8)) == ""  # nothing repairs it


def test_what_completion_rules_look_at():
    assert [Dyck().completion_from(length) for length in (0, 1, 2, 8)] == [0, 1, 2, 2]
    assert [ANBN().completion_from(length) for length in (0, 8)] == [0, 8]
    closed = Dyck().rule_2_completion(torch.tensor([[3, 4, 6]]))
    assert closed.item(), "a bracket that closes the prefix is free"
    assert All((Dyck().rule_1, Dyck().rule_2))(torch.tensor([[3, 4, 6]])).item() is False


def test_impossible_prompts_are_refused():
    with pytest.raises(ValueError, match="word length is 5, it must be even"):
        prompts(Dyck(), 5)
    with pytest.raises(ValueError, match="word length is 0"):
        prompts(ShuffleDyck(), 0)
    with pytest.raises(ValueError, match="prompt length is 0, it must be at least 1"):
        prompts(BaN(), 0)
    with pytest.raises(ValueError, match="prompt length is 0, it must be at least 1"):
        prompts(BbaN(), 0)
    with pytest.raises(ValueError, match="max_length is 15, the prompt aaaaaaaa needs 16"):
        prompts(ANBN(), max_length=15)
    assert len(prompts(ANBN(), max_length=16).id) == 5


def test_several_lengths_are_all_prompts_of_each():
    for grammar, lengths in ((Dyck(), (4, 6)), (BbaN(), (3, 4)), (ANBN(), (1, 3))):
        several, single = prompts(grammar, *lengths), [prompts(grammar, length) for length in lengths]
        assert several.id == [prompt for one in single for prompt in one.id]
        assert several.ood == [prompt for one in single for prompt in one.ood]
        assert several.sos == [()]


def test_of_a_large_set_a_thousand_are_taken_evenly_spread():
    found = prompts(ANBNCN(), 4, 8)
    assert len(found.ood) == len(set(found.ood)) == 1000
    assert 9 <= sum(len(prompt) == 4 for prompt in found.ood) <= 13  # 78 of 6,633
    assert len(found.id) == 3 + 6


def test_framed_prompts_and_oracle_sequences():
    tokens, lengths = framed([(), (3, 4)])
    assert tokens.tolist() == [[0, 2, 2], [0, 3, 4]] and lengths.tolist() == [1, 3]
    assert framed([])[0].shape == (0, 1)
    assert oracle_sequences(ANBN(), [(3, 3), ()], 8).tolist() == [[0, 3, 3, 4, 4, 1], [0, 1, 2, 2, 2, 2]]
