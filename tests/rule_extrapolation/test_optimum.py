"""The best possible predictor against enumerating all strings of each language."""

import math
from collections import defaultdict

import pytest
import torch

from rule_extrapolation.baselines import NGram
from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Brackets, Dyck, Parentheses, Separated, ShuffleDyck
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.letters import ANBM, ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN
from rule_extrapolation.metrics import token_loss
from rule_extrapolation.optimum import NextToken

GRAMMARS: list[Grammar] = [
    BaN(), BbaN(), ANBN(), ANBNCN(), Dyck(), ShuffleDyck(), AbN(), ANBM(), ANBNAN(), Parentheses(), Brackets(),
    Separated(),
]  # fmt: skip
LONGEST = 8
# the entropy rate on the default test strings, nats a token
GOLDEN = {"dyck": 0.9307, "bbaN": 0.2877, "aNbN": 0.1515, "shuffle_dyck": 1.1220}


@pytest.fixture(params=GRAMMARS, ids=lambda grammar: grammar.name)
def grammar(request):
    return request.param


def enumerated(grammar):
    """{string as text: its probability under the sampler}."""
    lengths = grammar.lengths(LONGEST).tolist()
    found = {}
    for length in lengths:
        strings = grammar.strings(length).tolist()
        found |= {grammar.text(string): 1 / len(lengths) / len(strings) for string in strings}
    assert sum(found.values()) == pytest.approx(1)
    return found


def conditional(grammar):
    """{prefix: [P(EOS), P(each symbol)]}, by adding up strings."""
    totals = defaultdict(lambda: [0.0] * (1 + len(grammar.symbols)))
    for string, probability in enumerated(grammar).items():
        for read, symbol in enumerate(string):
            totals[string[:read]][1 + grammar.symbols.index(symbol)] += probability
        totals[string][0] += probability
    return {prefix: [value / sum(row) for value in row] for prefix, row in totals.items()}


def framed(grammar, strings):
    rows = torch.full((len(strings), LONGEST + 2), 2)
    for row, string in zip(rows, strings, strict=True):
        row[: len(string) + 2] = torch.tensor([0, *grammar.parse(string), 1])
    return rows


def test_probabilities_are_those_of_all_strings_added_up(grammar):
    predict = NextToken(grammar, LONGEST)
    for prefix, expected in conditional(grammar).items():
        assert predict.after(prefix) == pytest.approx(expected, abs=1e-12), prefix


def test_the_optimum_of_all_strings_is_that_of_the_definition(grammar):
    every, rows = enumerated(grammar), conditional(grammar)
    strings = list(every)
    targets = sum(len(string) + 1 for string in strings)
    found = NextToken(grammar, LONGEST).optimum(framed(grammar, strings))
    assert found.loss == pytest.approx(-sum(map(math.log, every.values())) / targets)  # the chain rule
    correct = 0.0
    for string in strings:
        for read, target in enumerate([*grammar.parse(string), 1]):
            row = [round(probability, 9) for probability in rows[string[:read]]]
            correct += (row[max(target - 2, 0)] == max(row)) / row.count(max(row))
    assert found.accuracy == pytest.approx(correct / targets)
    twice = NextToken(grammar, LONGEST).optimum(framed(grammar, strings).repeat(2, 1))
    assert twice == pytest.approx(found)


@pytest.mark.parametrize("grammar", [g for g in GRAMMARS if g.name in GOLDEN], ids=lambda grammar: grammar.name)
def test_golden_entropy_rates(grammar):
    data = GrammarDataModule(grammar=grammar, split="shared" if grammar.name == "aNbN" else "held_out")
    assert data.test_optimum is not None
    assert data.test_optimum.loss == pytest.approx(GOLDEN[grammar.name], abs=5e-5)


def test_no_model_is_below_it_on_fresh_strings():
    """An n-gram of the whole context, fitted on very many strings, comes near and stays above."""
    data = GrammarDataModule(grammar=BbaN(), max_length=4, prompt_lengths=(2,), split="shared", num_test=4096)
    model = NGram(data.spec, data.samples("train", 0, 2**17), order=5)
    loss, accuracy, _ = token_loss(model(data.test_strings[:, :-1]), data.test_strings[:, 1:])
    assert data.test_optimum is not None
    assert 0 < float(loss) - data.test_optimum.loss < 1e-3
    assert float(accuracy) == pytest.approx(data.test_optimum.accuracy, abs=0.02)


def test_long_strings_neither_overflow_nor_vanish():
    ones = NextToken(ANBN(), 200).after("a" * 60)
    assert ones[0] == 0 and sum(ones) == pytest.approx(1)
    deep = NextToken(Dyck(), 64).after("([" * 12)
    assert sum(deep) == pytest.approx(1) and deep[2] == 0.0 and deep[4] > 0


@pytest.mark.parametrize("prefix", ["ba", "aab" + "b" * 9, "abb", "aaaaa"])
def test_a_prefix_of_no_string_is_refused(prefix):
    with pytest.raises(ValueError, match="no string begins with"):
        NextToken(ANBN(), LONGEST).after(prefix)


def test_spaces_in_a_prefix_do_not_count():
    predictor = NextToken(ANBM(), 4)
    assert predictor.after("a a") == predictor.after("aa")
    assert NextToken(ANBN(), 8).after("a a") == NextToken(ANBN(), 8).after("aa")
