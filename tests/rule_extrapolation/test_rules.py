"""Each rule's predicate and its automaton against a definition in words, on every short string."""

import re
from fractions import Fraction
from functools import cache
from itertools import product

import pytest
import torch

from rule_extrapolation.bracket_rules import Matched, Nested, OneKind
from rule_extrapolation.letters import BaN, BbaN
from rule_extrapolation.rules import (
    EOS,
    PAD,
    SOS,
    All,
    Anything,
    Enclosed,
    EqualCounts,
    Even,
    Ordered,
    StartsWith,
    TwiceAsMany,
)

A, B, C = 3, 4, 5
ROUND, SQUARE = (3, 4), (5, 6)


def reduces(word, pairs):
    """Whether striking out adjacent pairs leaves nothing."""
    while any(pair in word for pair in pairs):
        for pair in pairs:
            word = word.replace(pair, "")
    return not word


def only(word, kept):
    return "".join(symbol for symbol in word if symbol in kept)


def nested(word):
    """Every parenthesis has its partner, and between any two partners the brackets balance."""
    opened = []
    for place, symbol in enumerate(word):
        if symbol == "(":
            opened.append(place)
        elif symbol == ")" and not (opened and reduces(only(word[opened.pop() : place], "[]"), ["[]"])):
            return False
    return not opened


def enclosed(word):
    parts = re.fullmatch("(a*)b+(a*)", word)
    return len(parts[1]) == len(parts[2]) if parts else bool(re.fullmatch("(aa)*", word))


LETTERS = [
    (Anything(), lambda w: True),
    (Even(A), lambda w: w.count("a") % 2 == 0),
    (StartsWith(B), lambda w: w[:1] == "b"),
    (EqualCounts((A, B)), lambda w: w.count("a") == w.count("b")),
    (EqualCounts((A, B, C)), lambda w: w.count("a") == w.count("b") == w.count("c")),
    (TwiceAsMany(A, than=B), lambda w: w.count("a") == 2 * w.count("b")),
    (Ordered((A, B)), lambda w: re.fullmatch("a*b*", w)),
    (Ordered((B, A)), lambda w: re.fullmatch("b*a*", w)),
    (Ordered((A, B, C)), lambda w: re.fullmatch("a*b*c*", w)),
    (Ordered((B, A), needs_first=True), lambda w: re.fullmatch("b+a*", w)),
    (Enclosed(A, B), enclosed),
    (Enclosed(A, B, equally=False), lambda w: re.fullmatch("a*b*a*", w)),
    (All((Even(A), Ordered((A, B)))), lambda w: re.fullmatch("(aa)*b*", w)),
]
BRACKETS = [
    (OneKind((SQUARE,)), lambda w: only(w, "[]") == w),
    (OneKind((ROUND, SQUARE)), lambda w: w in (only(w, "()"), only(w, "[]"))),
    (Matched(*ROUND), lambda w: reduces(only(w, "()"), ["()"])),
    (Matched(*SQUARE), lambda w: reduces(only(w, "[]"), ["[]"])),
    (Nested(ROUND, SQUARE), nested),
]
CASES = [(rule, plain, "abc") for rule, plain in LETTERS] + [(rule, plain, "()[]") for rule, plain in BRACKETS]


def by_automaton(rule, tokens):
    state = rule.start
    for token in tokens:
        state = rule.step(state, token)
        if state is None:
            return False
    return rule.accepts(state)


@pytest.mark.parametrize(("rule", "plain", "symbols"), CASES, ids=[repr(case[0]) for case in CASES])
def test_predicate_automaton_and_definition_agree_on_every_row(rule, plain, symbols):
    for length in range(7):
        rows = list(product(range(3 + len(symbols)), repeat=length))
        expected, automaton = [], []
        for row in rows:
            tokens = row[: row.index(EOS)] if EOS in row else row
            clean = SOS not in tokens and PAD not in tokens
            expected.append(clean and bool(plain("".join(symbols[token - 3] for token in tokens))))
            automaton.append(by_automaton(rule, tokens))
        assert rule(torch.tensor(rows, dtype=torch.long).reshape(len(rows), length)).tolist() == expected
        assert automaton == expected


def test_dyck_is_matched_brackets_and_nested():
    rule = All((Matched(*SQUARE), Nested(ROUND, SQUARE)))
    for length in range(9):
        words = list(product(range(3, 7), repeat=length))
        expected = [reduces("".join("()[]"[token - 3] for token in word), ["()", "[]"]) for word in words]
        assert rule(torch.tensor(words, dtype=torch.long).reshape(len(words), length)).tolist() == expected


@pytest.mark.parametrize("depth", [5, 27, 28, 29, 30, 56, 57, 85, 150])
def test_nested_sees_a_mismatch_at_every_level_of_a_deep_stack(depth):
    kinds = torch.randint(2, (depth,), generator=torch.Generator().manual_seed(depth))
    kinds[0] = 0  # a parenthesis outside, so that every bracket is inside one
    opening = 3 + 2 * kinds
    closing = opening.flip(0) + 1
    wrong = closing.repeat(depth, 1)
    wrong[torch.arange(depth), torch.arange(depth)] = 10 - closing  # 4 <-> 6
    rule = Nested(ROUND, SQUARE)
    assert rule(torch.cat([opening, closing])[None]).all()
    assert not rule(torch.cat([opening.expand(depth, -1), wrong], 1)).any()


def test_what_follows_eos_changes_nothing():
    word = torch.tensor([[4, 3, 3]])
    for padding in range(5):
        row = torch.cat([word, torch.tensor([[EOS] + [PAD] * padding])], 1)
        assert Even(A)(row).item() and BaN().grammatical(row).item() and BbaN().grammatical(row).item()


def test_l2_counts_all_the_a_and_asks_only_order_of_a_completion():
    grammar = BbaN()
    assert not grammar.rule_1(torch.tensor([[3, 4, 3, 3]])).item()  # a before the last b counts as well
    completions = torch.tensor([[EOS, PAD], [3, EOS], [3, 3], [4, 3], [3, 4]])
    assert grammar.rule_2_completion(completions).tolist() == [True, True, True, True, False]
    assert grammar.rule_2(completions).tolist() == [False, False, False, True, False]


def test_states_of_one_equivalence_class_succeed_equally_often():
    rule = All((Matched(*SQUARE), Nested(ROUND, SQUARE)))

    @cache
    def success(state, draws):
        total = Fraction(rule.accepts(state))
        if draws:
            after = [rule.step(state, symbol) for symbol in range(3, 7)]
            total += sum(success(state, draws - 1) for state in after if state is not None)
        return total / 5

    states = {rule.start}
    for _ in range(5):
        states |= {after for state in states for s in range(3, 7) if (after := rule.step(state, s)) is not None}
    classes = {}
    for state in states:
        classes.setdefault(rule.equivalence_class(state), set()).add(tuple(success(state, draws) for draws in range(7)))
    assert len(classes) < len(states)
    assert all(len(probabilities) == 1 for probabilities in classes.values())
