"""Search of a user's own text: passages, exact search, the folder of an index, and the commands."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone as unfitted
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from lm import search as searching
from lm.continuation import Continuation
from lm.finetune import main as finetune
from lm.index import embedding_of
from lm.index import main as make_index
from lm.index_files import load, save
from lm.own_text import readable_documents
from lm.passages import passages
from lm.retrieval import main as retrieve
from lm.search import Models, build, search, similarities
from lm.transformer import TextEmbedding
from seqlab.errors import InputError
from seqlab.models.lstm import LSTM
from seqlab.spec import Classes, Spec, Tokens

DOCUMENTS = {
    name: "\n\n".join(f"The {animal} number {i} {verb} in the {place} all night. " * 6 for i in range(4))
    for name, animal, verb, place in (
        ("one.txt", "owl", "sings", "wood"),
        ("two.txt", "whale", "swims", "sea"),
        ("three.txt", "mole", "digs", "garden"),
    )
}


def encode(text: str) -> list[int]:
    return [ord(character) % 60 for character in text]


def models() -> Models:
    torch.manual_seed(0)
    spec = Spec(Tokens(60), Classes(60), max_length=44)
    model, other = (LSTM(spec, d_model=16, hidden_dim=16, num_layers=1).eval() for _ in range(2))
    return Models(model, Continuation(other).eval(), encode)


@pytest.fixture(scope="module")
def index():
    return build(DOCUMENTS, models())


@given(st.lists(st.text(alphabet="ab \n", max_size=300), max_size=5))
def test_passages_lose_no_word(documents):
    found = passages(documents)
    assert " ".join(found).split() == " ".join(documents).split()
    assert all(passage.strip() for passage in found)


def test_long_paragraphs_are_cut():
    found = passages(["word " * 1000, "x" * 10**6])
    assert [len(passage.split()) for passage in found] == [200] * 5 + [1]


def test_odd_files_of_a_folder_are_left_out_with_a_reason(tmp_path, capsys):
    (tmp_path / "good.txt").write_text("some words here", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "binary.md").write_bytes(bytes(range(256)))
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bno")
    os.mkfifo(tmp_path / "fifo.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere.txt").symlink_to(tmp_path / "absent")
    assert [*readable_documents(str(tmp_path)).values()] == ["some words here"]
    said = capsys.readouterr().err
    assert all(
        text in said for text in ("empty.txt contains no text", "binary.md is not text", "latin.txt is not UTF-8")
    )
    assert said.count("left out: ") == 4 and "broken.gz cannot be read" in said
    (tmp_path / "good.txt").unlink()
    with pytest.raises(ValueError, match=r"no file is text: .*binary.md is not text"):
        readable_documents(str(tmp_path))
    with pytest.raises(ValueError, match=r"empty.txt contains no text"):
        readable_documents(str(tmp_path / "empty.txt"))


def test_names_and_passages_that_are_no_plain_text_survive_and_are_shown_plainly(tmp_path, capsys, monkeypatch):
    """A name with bytes that are not UTF-8, escapes for a terminal, and one word of a megabyte."""
    save(build({"\udcff.txt": "a red \x1b[31mowl\n\t" + "x" * 10**6}, models()), tmp_path / "index", [])
    monkeypatch.setattr("lm.index.checkpoints_of", lambda path: [])
    monkeypatch.setattr("lm.index.models_of", lambda path: models())
    assert retrieve([str(tmp_path), "--query", "owl", "--hybrid"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "red \ufffd[31mowl" in shown and len(shown) < 2500


def test_search_in_blocks_is_exact(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    vectors, direction = rng.normal(size=(1000, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    monkeypatch.setattr(searching, "ROWS_AT_ONCE", 64)  # sixteen blocks, the last one short
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    np.testing.assert_allclose(similarities(mapped, direction), vectors @ direction, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hybrid", [False, True])
def test_search_finds_the_passage_that_says_it(index, hybrid):
    found = search(index, models(), "a whale that swims in the deep sea", 3, hybrid=hybrid)
    assert [each.source for each in found] == ["two.txt"] * 3
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert set(found[0].parts) == {"lexical", "continuation"} | ({"BM25", "likelihood"} if hybrid else set())
    assert len(search(index, models(), "whale", 99, hybrid=hybrid)) == len(index.passages)


def test_a_hybrid_search_ranks_by_the_weights_that_validation_chose(index):
    """Beside both embeddings it gave none to re-ranking: the order is that of the weighted sum."""
    found = search(index, models(), "a mole digs in the deep sea", len(index.passages), hybrid=True)
    parts = {name: np.array([each.parts[name] for each in found]) for name in found[0].parts}
    total = sum(
        weight * (parts[name] - parts[name].mean()) / parts[name].std()
        for name, weight in (("BM25", 1), ("lexical", 0.25), ("continuation", 0.25))
    )
    np.testing.assert_allclose([each.score for each in found], total, atol=1e-4)
    assert len({each.parts["likelihood"] for each in found}) > 1
    few = search(index, models(), "a mole digs in the deep sea", 2, hybrid=True)
    likelihoods = {each.passage: each.parts["likelihood"] for each in found}
    assert [each.score for each in few] == pytest.approx([each.score for each in found[:2]])
    assert [each.parts["likelihood"] for each in few] == pytest.approx([likelihoods[each.passage] for each in few])


def test_scores_of_the_parts_are_cosines(index):
    both = models()
    (best, *_) = search(index, both, index.passages[5], 1, hybrid=False)
    assert best.parts["lexical"] == pytest.approx(1, abs=1e-5)
    assert best.score == pytest.approx(best.parts["lexical"] + 0.25 * best.parts["continuation"], abs=1e-5)
    assert abs(best.parts["continuation"]) <= 1 + 1e-5


@pytest.mark.parametrize("query", ["I", "?!", "zzz"])
def test_query_without_known_words_is_ranked_by_the_other_parts(index, query):
    found = search(index, models(), query, 3, hybrid=True)
    assert len(found) == 3 and all(each.parts["BM25"] == 0 for each in found)


def test_query_without_words_is_refused(index):
    with pytest.raises(InputError, match="a text without words"):
        search(index, models(), " \n", 3, hybrid=True)


def test_index_is_the_same_from_its_folder(index, tmp_path):
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    for _ in range(2):  # the second takes the place of the first
        save(index, tmp_path / "index", [checkpoint])
    loaded = load(tmp_path / "index", [checkpoint])
    assert isinstance(loaded.vectors, np.memmap)
    for hybrid in (False, True):
        first, again = (search(each, models(), "the owl sings", 4, hybrid=hybrid) for each in (index, loaded))
        assert [each.passage for each in first] == [each.passage for each in again]
        np.testing.assert_allclose([each.score for each in first], [each.score for each in again], rtol=1e-4)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.ckpt", "index"]


def test_index_that_does_not_fit_is_refused(index, tmp_path):
    checkpoint, folder = tmp_path / "best.ckpt", tmp_path / "index"
    with pytest.raises(InputError, match=r"there is no index; seqlab index RUN FOLDER"):
        load(folder, [checkpoint])
    checkpoint.write_bytes(b"weights")
    save(index, folder, [checkpoint])
    checkpoint.write_bytes(b"other weights")
    with pytest.raises(InputError, match="is the index of other checkpoints"):
        load(folder, [checkpoint])
    checkpoint.write_bytes(b"weights")
    (folder / "passages.jsonl").write_text(json.dumps({"passage": "one", "source": "a"}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="is damaged: 1 passages; needed: 12"):
        load(folder, [checkpoint])
    np.save(folder / "usual.npy", np.array([{"an": "object"}], object), allow_pickle=True)
    with pytest.raises(InputError, match="is not an index or is damaged: Object arrays cannot be loaded"):
        load(folder, [checkpoint])


def listed(value):
    return lambda file: file.write_text(json.dumps(value), encoding="utf-8")


def array(value):
    return lambda file: np.save(file, value)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("lexical.npz", lambda file: file.write_bytes(file.read_bytes()[:40])),
        ("bm25/vocab.index.json", listed([])),
        ("bm25/vocab.index.json", listed({"owl": 10**6})),
        ("bm25/params.index.json", listed([])),
        ("bm25/indices.csc.index.npy", array(np.full(3, 10**6, np.int32))),
        ("index.json", listed([])),
        ("words.json", listed(["owl"])),
        ("vectors.npy", array(np.zeros((), np.float32))),
        ("vectors.npy", array(np.zeros((12, 5), np.float32))),
        ("usual.npy", array(np.zeros(12, np.int32))),
        ("passages.jsonl", lambda file: file.write_text('{"passage": 1, "source": 2}\n' * 12, encoding="utf-8")),
    ],
)
def test_damaged_file_is_one_line(index, tmp_path, name, damage):
    save(index, tmp_path / "index", [])
    damage(tmp_path / "index" / name)
    with pytest.raises(InputError, match="is not an index or is damaged") as caught:
        load(tmp_path / "index", [])
    assert len(str(caught.value).splitlines()) == 1


def test_index_runs_no_other_backend_than_it_was_made_with(index, tmp_path):
    save(index, tmp_path / "index", [])
    file = tmp_path / "index" / "bm25" / "params.index.json"
    listed({**json.loads(file.read_text(encoding="utf-8")), "backend": "numba"})(file)
    assert search(load(tmp_path / "index", []), models(), "owl", 1, hybrid=True)[0].source == "one.txt"


def test_old_index_stays_if_the_new_one_cannot_take_its_place(index, tmp_path, monkeypatch):
    save(index, tmp_path / "index", [])
    rename = os.replace

    def full(source, target):
        if str(source).endswith(".tmp"):
            raise OSError("no space left")
        rename(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        save(index, tmp_path / "index", [])
    assert len(load(tmp_path / "index", []).passages) == 12
    assert [file.name for file in tmp_path.iterdir()] == ["index"]


# --- commands


def test_one_command_to_index_and_one_to_search(text_runs, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(text_runs["lstm"], run)
    assert finetune([str(run), "--steps", "2"]) == 0
    assert "retrieval_seed1.ckpt" in capsys.readouterr().out
    own = tmp_path / "own"
    own.mkdir()
    for name, text in DOCUMENTS.items():
        (own / name).write_text(text, encoding="utf-8")
    assert make_index([str(run), str(own)]) == 0
    assert "12 passages of 3 documents" in capsys.readouterr().out
    assert retrieve([str(run), "--query", "moles dig in the garden", "--hybrid"]) == 0
    out = capsys.readouterr().out
    first = out.split("\n")[0]
    assert "three.txt" in first and all(part in first for part in ("BM25", "lexical", "continuation", "likelihood"))
    embed = embedding_of(run)
    assert embed(["an owl", "a whale"]).shape == embed(["an owl", "a whale"], queries=True).shape
    np.testing.assert_array_equal(FunctionTransformer(embed).fit_transform(["an owl"]), embed(["an owl"]))
    transformer = unfitted(TextEmbedding(run, queries=True))
    assert transformer.get_params() == {"run": run, "queries": True}
    with pytest.raises(NotFittedError):
        transformer.transform(["an owl"])
    found = make_pipeline(transformer, Normalizer()).fit_transform(np.array(["an owl", "a whale"]))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(transformer.transform(["an owl"]), embed(["an owl"], queries=True))
    assert transformer.set_params(queries=False).transform([]).shape == (0, found.shape[1])


def test_bad_input_is_one_line(text_runs, tmp_path, capsys):
    run, tuned = str(text_runs["lstm"]), tmp_path / "tuned" / "checkpoints"
    tuned.mkdir(parents=True)
    (tuned / "retrieval_seed1.ckpt").touch()
    for ran, words, message in (
        (retrieve, [run, "--hybrid"], "it needs --query"),
        (retrieve, [run, "--query", "x", "--task", "halves"], "--task is for the table"),
        (retrieve, [run, run, "--query", "x"], "--query searches the index of one run, not of 2"),
        (retrieve, [run, str(tuned.parent)], "has embeddings (seed 1)"),
        (retrieve, [run, str(tmp_path / "none")], "is not a run directory"),
        (retrieve, [run, f"{run}/."], "one run is there twice"),
        (retrieve, [run, "--task", "halfs"], "did you mean halves?"),
        (retrieve, [run, "--query", "x"], "there is no index"),
        (retrieve, [str(tmp_path / "none"), "--query", "x"], "is not a run directory"),
        (finetune, [run, "--steps", "0"], "--steps 0: must be at least 1"),
        (make_index, [run, str(tmp_path / "none")], "there is no such file or folder"),
        (make_index, [str(tmp_path)], "error: "),
    ):
        assert ran(words) == 2, words
        error = capsys.readouterr().err
        assert message in error and len(error.strip().split("\n")) == 1, error
