"""What may follow a prefix: the fast functions, the search and an enumeration of the language agree."""

import pytest
import torch

from rule_extrapolation.dyck import Brackets, Dyck, Parentheses, Separated, ShuffleDyck
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.letters import ANBM, ANBN, ANBNAN, ANBNCN, AbN, BaN, BbaN

LETTERS = [ANBM(), ANBN(), ANBNAN(), ANBNCN(), AbN(), BaN(), BbaN()]
GRAMMARS = [*LETTERS, Brackets(), Dyck(), Parentheses(), Separated(), ShuffleDyck()]


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.name)
def test_the_fast_function_is_the_search(grammar):
    """On all short strings, in the language or not, and on long ones that are in it."""
    for length in range(1, 6 if len(grammar.symbols) == 4 else 8):
        strings = grammar.all_strings(length)
        assert torch.equal(grammar.following(strings), Grammar.following(grammar, strings))
    generator = torch.Generator().manual_seed(1)
    numbers = torch.rand(5, grammar.num_uniforms(36), dtype=torch.float64, generator=generator)
    strings = grammar.batch(torch.full((5,), 36), numbers)
    assert torch.equal(grammar.following(strings), Grammar.following(grammar, strings))
    assert grammar.following(strings)[:, -1, -1].all()


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.name)
def test_a_symbol_may_follow_if_a_longer_string_begins_so(grammar):
    longest = 8 if len(grammar.symbols) == 4 else 12
    members = [tuple(word) for length in range(1, longest + 1) for word in grammar.strings(length).tolist()]
    starts = {word[:end] for word in members for end in range(len(word) + 1)}
    for length in range(1, 4):
        strings = grammar.all_strings(length)
        expected = [
            [*((*word, symbol) in starts for symbol in grammar.symbol_ids), word in members]
            for word in map(tuple, strings.tolist())
        ]
        assert grammar.following(strings)[:, -1].tolist() == expected
