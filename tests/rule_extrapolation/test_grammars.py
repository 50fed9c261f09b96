"""Every grammar: its table entry, its language, its sampler."""

import inspect
import re
from collections import Counter
from functools import cache
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rule_extrapolation.dyck import Brackets, Dyck, cumulative_parentheses, opening_probability
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.letters import ANBN, BaN
from rule_extrapolation.rules import PAD


def concrete(base):
    found = [] if inspect.isabstract(base) else [base()]
    return found + [grammar for subclass in base.__subclasses__() for grammar in concrete(subclass)]


# Those of the public code have its faults: tests/rule_extrapolation/test_published_parts.py.
GRAMMARS = [grammar for grammar in concrete(Grammar) if not type(grammar).__module__.endswith("published_grammars")]
every_grammar = pytest.mark.parametrize("grammar", GRAMMARS, ids=[grammar.name for grammar in GRAMMARS])


def matched(word, *pairs):
    while (shorter := re.sub("|".join(re.escape(pair) for pair in pairs), "", word)) != word:
        word = shorter
    return not word


def block(word, letters):
    """Equal blocks of these letters in this order."""
    return "".join(letter * (len(word) // len(letters)) for letter in letters) == word


LANGUAGES = {
    "baN": lambda w: w[:1] == "b" and w.count("a") % 2 == 0,
    "bbaN": lambda w: re.fullmatch("b+(aa)*", w),
    "aNbN": lambda w: block(w, "ab"),
    "aNbNcN": lambda w: block(w, "abc"),
    "dyck": lambda w: matched(w, "()", "[]"),
    "shuffle_dyck": lambda w: matched(re.sub(r"[()]", "", w), "[]") and matched(re.sub(r"[][]", "", w), "()"),
    "abN": lambda w: w.count("a") == w.count("b"),
    "aNbM": lambda w: re.fullmatch("a*b*", w),
    "aNbNaN": lambda w: block(w, "aba"),
    "parentheses": lambda w: matched(w, "()"),
    "brackets": lambda w: matched(w, "[]"),
    "separated": lambda w: matched(w, "()") or matched(w, "[]"),
}
TABLE = {  # name: label, number in the paper, class, vocabulary
    "baN": ("L1", "L1", "regular", 5),
    "bbaN": ("L2", "L2", "regular", 5),
    "aNbN": ("L3", "L3", "context-free", 5),
    "aNbNcN": ("L4", "L5", "context-sensitive", 6),
    "dyck": ("L5", "L4", "context-free", 7),
    "shuffle_dyck": ("L6", "L6", "context-sensitive", 7),
}


def defined(grammar):
    """The row of LANGUAGES that says in another way which words a grammar has."""
    if grammar.name not in LANGUAGES:
        pytest.fail(
            f"{type(grammar).__module__}.{type(grammar).__name__} has no row in LANGUAGES of "
            f'tests/rule_extrapolation/test_grammars.py: add "{grammar.name}" and a function that says of a word '
            "whether the language has it, in another way than its rules do"
        )
    return LANGUAGES[grammar.name]


def drawn(grammar, lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    columns = grammar.num_uniforms(int(lengths.max()))
    return grammar.batch(lengths, torch.rand(len(lengths), columns, dtype=torch.float64, generator=generator))


def test_the_table_of_the_languages():
    assert set(LANGUAGES) <= {grammar.name for grammar in GRAMMARS}
    labelled = {g.name: (g.label, g.paper, g.language_class, g.vocabulary_size) for g in GRAMMARS if g.label}
    assert labelled == TABLE


@every_grammar
def test_the_language_is_what_its_name_says(grammar):
    for length in range(9 if len(grammar.symbols) == 2 else 7):
        words = ["".join(word) for word in product(grammar.symbols, repeat=length)]
        expected = [word for word in words if defined(grammar)(word)]
        assert [grammar.text(ids) for ids in grammar.strings(length).tolist()] == expected


@every_grammar
def test_the_sampler_draws_every_string_of_a_length_equally_often(grammar):
    for length in grammar.lengths(6).tolist():
        language = {tuple(string) for string in grammar.strings(length).tolist()}
        num_draws = 200 * len(language)
        counts = Counter(map(tuple, drawn(grammar, torch.full((num_draws,), length), seed=length).tolist()))
        assert set(counts) == language
        chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
        freedom = len(language) - 1
        assert chi_square <= freedom + 4 * (2 * freedom) ** 0.5


@every_grammar
def test_lengths_are_exactly_those_that_have_strings(grammar):
    assert grammar.lengths(6).tolist() == [length for length in range(1, 7) if len(grammar.strings(length))]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(GRAMMARS), st.integers(1, 128), st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 1 - 2**-53]))
def test_every_sampled_string_is_grammatical_and_as_long_as_asked(grammar, half, seed, special):
    lengths = grammar.lengths(max(2 * half, grammar.length_step + grammar.length_step % 2))
    generator = torch.Generator().manual_seed(seed)
    lengths = lengths[torch.randint(len(lengths), (64,), generator=generator)]
    uniforms = torch.rand(64, grammar.num_uniforms(int(lengths.max())), dtype=torch.float64, generator=generator)
    uniforms[torch.rand(uniforms.shape, generator=generator) < 0.3] = special
    strings = grammar.batch(lengths, uniforms)
    assert strings.shape == (64, int(lengths.max()))
    beyond = torch.arange(strings.shape[1]) >= lengths[:, None]
    assert torch.equal(strings == PAD, beyond)
    assert grammar.grammatical(strings.masked_fill(beyond, 1)).all()


@every_grammar
def test_a_row_depends_on_nothing_but_itself(grammar):
    lengths = grammar.lengths(24)
    uniforms = torch.rand(len(lengths), grammar.num_uniforms(24) + 3, dtype=torch.float64)
    batch = grammar.batch(lengths, uniforms)
    for row, (length, own) in enumerate(zip(lengths, uniforms, strict=True)):
        assert torch.equal(grammar.batch(length[None], own[None])[0], batch[row, :length])


def test_dyck_words_do_not_end_at_the_first_return():
    strings = drawn(Dyck(), torch.full((4000,), 32))
    depth = torch.where(strings % 2 == 1, 1, -1).cumsum(1)
    first_return = (depth == 0).long().argmax(1) + 1
    assert (strings != PAD).all()
    # Of the words of 16 pairs Catalan(15) / Catalan(16) = 0.2742 return after one pair.
    assert abs((first_return == 2).double().mean() - 0.2742) < 0.03
    assert (first_return == 32).any()


def test_brackets_are_more_than_one_pair():
    words = {Brackets().text(word) for word in drawn(Brackets(), torch.full((200,), 6)).tolist()}
    assert words == {"[][][]", "[[]][]", "[][[]]", "[[][]]", "[[[]]]"}


def test_opening_probability_is_the_proportion_of_the_paths_down():
    @cache
    def ways(height, remaining):
        if height < 0 or height > remaining:
            return 0
        return 1 if remaining == 0 else ways(height + 1, remaining - 1) + ways(height - 1, remaining - 1)

    for remaining in range(1, 60):
        heights = torch.arange(remaining % 2, remaining + 1, 2)
        expected = [ways(h + 1, remaining - 1) / ways(h, remaining) for h in heights.tolist()]
        probabilities = opening_probability(heights, torch.full_like(heights, remaining))
        torch.testing.assert_close(probabilities, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)


def test_cumulative_parentheses_counts_walks_in_the_quarter_plane():
    @cache
    def ways(x, y, steps_x, steps_y):
        """Walks from (0, 0) to (x, y) in the quarter plane with so many steps along either axis."""
        if min(x, y) < 0 or steps_x < x or steps_y < y:
            return 0
        if steps_x + steps_y == 0:
            return 1
        along_x = ways(x - 1, y, steps_x - 1, steps_y) + ways(x + 1, y, steps_x - 1, steps_y) if steps_x else 0
        along_y = ways(x, y - 1, steps_x, steps_y - 1) + ways(x, y + 1, steps_x, steps_y - 1) if steps_y else 0
        return along_x + along_y

    for pairs in range(7):
        counts = torch.tensor([ways(0, 0, 2 * k, 2 * (pairs - k)) for k in range(pairs + 1)], dtype=torch.float64)
        table = cumulative_parentheses(8)[pairs]
        torch.testing.assert_close(table[: pairs + 1], counts.cumsum(0) / counts.sum())
    assert (cumulative_parentheses(200)[200].diff() >= 0).all()


@every_grammar
@pytest.mark.parametrize("max_length", [0, -2])
def test_a_length_that_has_no_string_is_refused(grammar, max_length):
    with pytest.raises(ValueError, match=f"max_length is {max_length}, it must be"):
        grammar.lengths(max_length)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="max_length is 7, it must be even"):
        Dyck().lengths(7)
    with pytest.raises(ValueError, match="no string of length 3"):
        ANBN().batch(torch.tensor([4, 3]), torch.empty(2, 0))
    with pytest.raises(ValueError, match="4 uniforms per string, length 5 needs 5"):
        BaN().batch(torch.tensor([5]), torch.rand(1, 4))
    with pytest.raises(ValueError, match="cannot enumerate strings of length 40, only of 0 to 20"):
        BaN().strings(40)
    with pytest.raises(ValueError, match=r"'c' is not a symbol of the language; allowed: a b"):
        BaN().parse("abc")


def test_text_and_parse():
    assert Dyck().parse("( [ ]") == Dyck().parse("([]") == [3, 5, 6]
    assert Dyck().text([3, 5, 6, 1, 2]) == "([]<eos><pad>"
    assert BaN().parse(" aab ") == [3, 3, 4]
    assert BaN().parse("") == []
