"""A number is the characters that were typed where a text is wanted."""

import pytest

from seqlab.errors import InputError
from seqlab.run.build import configuration
from seqlab.run.typed import as_typed

SERIES = ("data=series", "data.csv=some.csv", "data.column=x")


@pytest.mark.parametrize("text", ["2020", "1e3", "1.50", "+5", "1_000", "true", "FALSE", "inf"])
def test_characters_count_where_a_text_is_wanted(compose, text):
    assert as_typed(compose(*SERIES), configuration, [f"data.column={text}"]) == {"data.column": text}


@pytest.mark.parametrize("key", ["name.model", "name.data"])
def test_names_are_texts(compose, key):
    assert as_typed(compose(*SERIES), configuration, [f"{key}=2020"]) == {key: "2020"}


@pytest.mark.parametrize(
    "word",
    ["data.window=24", "seed=2", "data.center=true", "optimizer.lr=1e-3", "data.column='2020'", "data.column=007",
     "data.column=null", "data.csv=a.csv", "trainer.precision=16", "eval.max_length=3", "eval.prompt_lengths=[4]",
     "name.model=x", "~data.column", "nope.x=1"],
)  # fmt: skip
def test_elsewhere_a_value_stays_as_it_is_read(compose, word):
    assert as_typed(compose(*SERIES), configuration, [word]) == {}


def test_the_last_word_about_a_key_counts(compose):
    assert as_typed(compose(*SERIES), configuration, ["data.column=1", "data.column=2"]) == {"data.column": "2"}
    assert as_typed(compose(*SERIES), configuration, ["data.column=1", "data.column='y'"]) == {}


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("data.column=[ppm]", "'data.column=\"[ppm]\"'"),
        ("data.column={a: 1}", "'data.column=\"{a: 1}\"'"),
        ("data.name=null", "'data.name=\"null\"'"),
    ],
)
def test_what_is_no_text_is_refused_with_the_text_in_quotes(compose, word, form):
    with pytest.raises(InputError) as caught:
        as_typed(compose(*SERIES), configuration, [word])
    assert str(caught.value) == f"{word}: a string is required; as a string it is {form}"
