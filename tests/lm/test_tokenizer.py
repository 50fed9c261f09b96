"""Tokenizers against a plain BPE, and as the identity on any text."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lm.tokenizer import DOCUMENT, DOCUMENT_ID, PIECE, TextTokenizer, pieces, read_tokenizer, train_tokenizer
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
    assert "".join(map(stream.step, ids)) + stream.rest() == text


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(data=st.data())
def test_a_stream_takes_any_ids_in_any_order(kind, data):
    """A model says what it likes: bytes without their character, the rest of one that never began."""
    tokenizer = TOKENIZERS[kind]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocabulary_size - 1), max_size=12))
    stream = tokenizer.stream()
    text, whole = "".join(map(stream.step, ids)) + stream.rest(), tokenizer.decode(ids)
    if kind == "char":  # read at once, one wrong byte also takes the right ones beside it
        following = iter(text)
        assert all(character in following for character in whole if character != "\ufffd")
    else:
        assert text == whole


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


BLANKS = "ab1'\n \t\r\x0b\x1c\x85\xa0\u1680\u180e\u2003\u2028\u200b\u3000é日\U0001f600<|"
blank_text = st.text(st.one_of(st.sampled_from(BLANKS), st.characters(exclude_categories=["Cs"])), max_size=40)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=blank_text, size=st.integers(1, 5))
def test_the_ids_of_pieces_are_those_of_the_whole(kind, text, size):
    tokenizer = TOKENIZERS[kind]
    cut = [*pieces(text, tokenizer.cut, size)]
    assert "".join(cut) == text
    assert [id for piece in cut for id in tokenizer.encode(piece)] == tokenizer.encode(text)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_long_document_is_cut_and_its_ids_are_those_of_the_whole(kind):
    tokenizer = TOKENIZERS[kind]
    long = TEXT * (2 * PIECE // len(TEXT))
    parts = [*tokenizer.encoded([long, "Speak."])]
    assert len(parts) > 1 and all(len(part) <= 2 * PIECE for part in parts)
    expected = [DOCUMENT_ID, *tokenizer.encode(long), DOCUMENT_ID, *tokenizer.encode("Speak.")]
    assert np.concatenate(parts).tolist() == tokenizer.encode_documents([long, "Speak."]).tolist() == expected


def test_merges_of_a_long_text_are_those_of_the_whole():
    long = TEXT * (2 * PIECE // len(TEXT))
    whole = Tokenizer(models.BPE())
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    whole.train_from_iterator(
        [long],
        trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=[DOCUMENT], show_progress=False),
    )
    assert len([*pieces(long, "before blanks")]) > 1
    assert read_merges(train_tokenizer("bpe", [long], 330).json) == read_merges(whole.to_str())


def foreign(change):
    """A tokenizer of this project with something changed in it."""
    about = json.loads(TOKENIZERS["bpe"].json)
    change(about)
    return TextTokenizer(json.dumps(about))


FOREIGN = {
    "a normalizer": lambda about: about.update(normalizer={"type": "NFC"}),
    "another splitter": lambda about: about.update(pre_tokenizer=None),
    "a blank before": lambda about: about["pre_tokenizer"].update(add_prefix_space=True),
    "words are not split": lambda about: about["pre_tokenizer"].update(use_regex=False),
    "another token": lambda about: about["added_tokens"].append({**about["added_tokens"][0], "id": 5, "content": "!"}),
    "whole words": lambda about: (
        about.update(pre_tokenizer=None),
        about["model"].update(merges=[], ignore_merges=True),
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_tokenizer_whose_texts_cannot_be_cut_reads_them_whole(name):
    tokenizer = foreign(FOREIGN[name])
    assert tokenizer.cut == "nowhere"
    long = "e " * PIECE
    assert tokenizer.encode_documents([long]).tolist() == [DOCUMENT_ID, *tokenizer.encode(long)]


def test_a_tokenizer_of_more_ids_than_are_stored_is_refused():
    about = json.loads(TOKENIZERS["char"].json)
    about["model"]["vocab"] |= {f"x{number}": 400 + number for number in range(2**16)}
    with pytest.raises(ValueError, match=r"this tokenizer has 65\d+ ids up to 65\d+: they must be 0 to at most 65535"):
        TextTokenizer(json.dumps(about))


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
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.json: this is not a tokenizer"):
        read_tokenizer(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="not one of this project"):
        TextTokenizer(Tokenizer(models.BPE()).to_str())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def tokenizer_files(draw):
    """Bytes, JSON, or a real tokenizer of which a part is cut off, lost or something else."""
    kind = draw(st.sampled_from(["bytes", "text", "json", "cut", "changed"]))
    if kind == "bytes":
        return draw(st.binary(max_size=100))
    if kind == "text":
        return draw(any_text).encode()
    if kind == "json":
        return json.dumps(draw(JSON)).encode()
    good = TOKENIZERS[draw(st.sampled_from(sorted(TOKENIZERS)))].json
    if kind == "cut":
        return good[: draw(st.integers(0, len(good)))].encode()
    content = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        node, key = content, draw(st.sampled_from(sorted(content)))
        while isinstance(node[key], dict) and node[key] and draw(st.booleans()):
            node, key = node[key], draw(st.sampled_from(sorted(node[key])))
        if draw(st.booleans()):
            node[key] = draw(JSON)
        else:
            del node[key]
        if not content:
            break
    return json.dumps(content).encode()


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokenizer_files())
def test_any_file_is_a_tokenizer_or_refused_in_one_line(tmp_path, content):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    try:
        tokenizer = read_tokenizer(file)
    except ValueError as error:
        assert str(error).startswith(f"data.tokenizer_path={file}") and len(str(error).splitlines()) == 1
    else:
        assert all(0 <= id < 2**16 for id in tokenizer.encode("Speak, é日!\n"))
        tokenizer.decode(tokenizer.encode("Speak, é日!\n"))


def test_a_tokenizer_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tokenizer.json").write_text(TOKENIZERS["bpe"].json, encoding="utf-8")
    assert read_tokenizer("~/tokenizer.json").json == TOKENIZERS["bpe"].json


def changed(kind, **parts):
    """The JSON of a tokenizer with other parts."""
    return json.dumps(json.loads(TOKENIZERS[kind].json) | parts)


def test_a_tokenizer_that_cuts_and_pads_does_neither_here():
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    pad = {"strategy": {"Fixed": 99}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
           "pad_token": DOCUMENT}  # fmt: skip
    tokenizer = TextTokenizer(changed("bpe", truncation=cut, padding=pad))
    for text in (TEXT, "Speak"):  # too long, and too short
        assert tokenizer.encode(text) == TOKENIZERS["bpe"].encode(text)


def test_ids_that_leave_a_gap_are_refused():
    model = json.loads(TOKENIZERS["char"].json)["model"]
    model["vocab"]["z"] = 60_000
    with pytest.raises(ValueError, match="ids up to 60000: they must be 0 to at most 65535 without gaps"):
        TextTokenizer(changed("char", model=model))
    model["vocab"] = {name: number for number, name in enumerate([DOCUMENT, *map(chr, range(0x20000, 0x30001))])}
    with pytest.raises(ValueError, match="65538 ids up to 65537"):
        TextTokenizer(changed("char", model=model))
