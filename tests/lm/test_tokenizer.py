"""Tokenizers against a plain BPE, and as the identity on any text."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm.tokenizer import DOCUMENT, DOCUMENT_ID, TextTokenizer, read_tokenizer, train_tokenizer
from tests.reference.bpe import encode_word, read_merges, train_merges

TEXT = (
    """First Citizen:
Before we proceed any further, hear me speak. It's the citizens' will; they'll hear.

All:
Speak, speak.  Resolved, resolved!

First Citizen:
First, you know Caius Marcius is chief enemy to the people: 16 of 100.
"""
    * 3
)
TOKENIZERS = {kind: train_tokenizer(kind, [TEXT], 330) for kind in ("bpe", "char", "byte")}
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)  # lone surrogates have no UTF-8 form


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=any_text)
def test_decoding_undoes_encoding(kind, text):
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(0 < id < tokenizer.vocabulary_size for id in ids)
    stream = tokenizer.stream()
    assert "".join(map(stream.step, ids)) == text


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("text", [DOCUMENT, f"a{DOCUMENT}b", "<0x41>", "Ġ", "\r\n\t\x00", "é日本\U0001f600"])
def test_no_text_looks_special(kind, text):
    ids = TOKENIZERS[kind].encode(text)
    assert DOCUMENT_ID not in ids
    assert TOKENIZERS[kind].decode(ids) == text


def test_bpe_agrees_with_a_plain_one_id_for_id():
    tokenizer = TOKENIZERS["bpe"]
    vocabulary, merges = read_merges(tokenizer.json)
    assert len(merges) == 330 - 257
    other = "Where's the speaker? Marcius proceeds: resolved (16), further…\n\n  Hear the chief citizens' enemy."
    for text in (TEXT, other):
        words = words_of(text)
        assert "".join(words) == text
        assert tokenizer.encode(text) == [id for word in words for id in encode_word(word, vocabulary, merges)]


def test_bpe_learns_the_most_frequent_pairs():
    _, merges = read_merges(TOKENIZERS["bpe"].json)
    plain = train_merges(Counter(words_of(TEXT)), 60)
    assert plain and merges[: len(plain)] == plain


def words_of(text):
    """The pre-tokens of GPT-2 (Radford et al. 2019), for text whose letters are a-z and A-Z and whose numbers 0-9."""
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
    return re.findall(pattern, text)


def test_vocabularies():
    assert TOKENIZERS["bpe"].vocabulary_size == 330
    assert TOKENIZERS["byte"].vocabulary_size == 257
    assert TOKENIZERS["char"].vocabulary_size == 257 + len(set(TEXT))
    assert len(TOKENIZERS["char"].encode(TEXT)) == len(TEXT)
    assert len(TOKENIZERS["byte"].encode("é日")) == 5
    assert len(TOKENIZERS["char"].encode("é日")) == 5  # neither is in the training text


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_documents_stand_behind_their_token(kind):
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode_documents(["Speak.", "", "Hear"])
    assert ids.dtype == np.uint16
    assert np.flatnonzero(ids == DOCUMENT_ID).tolist() == [0, 1 + len(tokenizer.encode("Speak.")), len(ids) - 1 - len(
        tokenizer.encode("Hear"))]  # fmt: skip
    assert tokenizer.decode(ids.tolist()) == "Speak.Hear"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_saved_tokenizer_is_the_same(kind, tmp_path):
    (tmp_path / "t.json").write_text(TOKENIZERS[kind].json, encoding="utf-8")
    again = read_tokenizer(tmp_path / "t.json")
    text = f"Speak, é {DOCUMENT} speak"
    assert again.encode(text) == TOKENIZERS[kind].encode(text)
    assert train_tokenizer(kind, [TEXT], 330).json == TOKENIZERS[kind].json  # training is deterministic


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"data\.vocabulary_size=5000 is too many"):
        train_tokenizer("bpe", [TEXT], 5000)
    with pytest.raises(ValueError, match=r"data\.tokenizer_path=.*missing\.json cannot be read"):
        read_tokenizer(tmp_path / "missing.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json: this is no tokenizer"):
        read_tokenizer(tmp_path / "bad.json")
    from tokenizers import Tokenizer, models

    with pytest.raises(ValueError, match="not one of this project"):
        TextTokenizer(Tokenizer(models.BPE()).to_str())
