"""Known-item retrieval: the tasks, the measures, tuning, the index and the command."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lm import rankers
from lm.contrastive import contrastive_loss, tune
from lm.corpus import load_corpus, plays
from lm.derive_plays import NINE
from lm.embed import embed
from lm.index import build_index, load_index, passages, save_index, search
from lm.known_items import Pair, halves, last_sentence, speech_items, summary_items
from lm.ranking import bootstrap_interval, evaluate, table
from lm.vectors import fit, inverse_document_frequency, vectors
from seqlab.errors import InputError
from seqlab.models.lstm import LSTM
from seqlab.spec import Classes, Spec, Tokens

SPEECH = load_corpus("shakespeare")
ITEMS = speech_items(SPEECH.train)


def encode(text: str) -> list[int]:
    return [ord(character) % 60 for character in text]


def model(seed: int = 0) -> LSTM:
    torch.manual_seed(seed)
    return LSTM(Spec(Tokens(60), Classes(60), max_length=32), d_model=16, hidden_dim=16, num_layers=1).eval()


# --- tasks


def test_speeches_task():
    assert len(ITEMS.queries) == len(ITEMS.relevant) > 800
    assert len(ITEMS.documents) > 3000
    assert len(set(ITEMS.relevant)) == len(ITEMS.relevant)
    for query, place in zip(ITEMS.queries, ITEMS.relevant, strict=True):
        assert 0 <= len(ITEMS.documents[place].split()) - len(query.split()) <= 1


def test_queries_are_in_nothing_that_was_learnt_from():
    trained = " ".join("\n".join(SPEECH.train).split())
    tuned = {pair.query for pair in ITEMS.tuning}
    assert not tuned & set(ITEMS.queries)
    assert not any(query in trained for query in ITEMS.queries)
    assert not {ITEMS.documents[place] for place in ITEMS.relevant} & {pair.document for pair in ITEMS.tuning}


def test_plays_that_a_model_has_read_give_no_queries():
    texts = plays()
    read = [texts[name] for name in ("twelfth-night", "othello")]
    items = speech_items(read)
    assert "10 plays" in items.description
    assert not any(query in " ".join(text.split()) for text in read for query in items.queries)
    with pytest.raises(InputError, match="trained on all plays"):
        speech_items([text for name, text in texts.items() if name not in NINE])


def test_halves():
    words = [str(i) for i in range(61)]
    assert halves("\n".join(words)) == Pair(" ".join(words[:30]), " ".join(words[30:]))
    assert halves(" ".join(words[:59])) is None


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("One. Two! Three?", Pair("Three?", "One. Two!")),
        ("A city of 3.5 million. It lies on a river.", Pair("It lies on a river.", "A city of 3.5 million.")),
        ("Only one.", None),
        ("", None),
    ],
)
def test_last_sentence(summary, expected):
    assert last_sentence(summary) == expected


def test_summaries_task_asks_only_for_what_is_held_out():
    texts = [f"Title {i}\n\nThis is {i}. It has {i} corners." for i in range(30)]
    items = summary_items(texts[:20], texts[20:])
    assert items.queries == [f"It has {i} corners." for i in range(20, 30)]
    assert [items.documents[place] for place in items.relevant] == [f"This is {i}." for i in range(20, 30)]
    assert len(items.tuning) == 20


# --- measures


def test_measures_by_hand():
    scores = torch.full((4, 200), -1.0)
    scores[0, 3] = 1  # rank 1
    scores[1, :3], scores[1, 3] = 2, 1  # rank 4
    scores[2, :10], scores[2, 150] = 2, 1  # rank 11
    scores[3, :150], scores[3, 160] = 2, 1  # rank 151
    found = evaluate(scores, [3, 3, 150, 160])
    assert found["MRR@10"].value == pytest.approx((1 + 1 / 4) / 4)
    assert found["nDCG@10"].value == pytest.approx((1 + 1 / math.log2(5)) / 4)
    assert [found[name].value for name in ("recall@1", "recall@10", "recall@100")] == [0.25, 0.5, 0.75]
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in found.values())


def test_bootstrap_interval_of_a_mean():
    values = np.random.default_rng(0).normal(size=2000)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.1)
    assert bootstrap_interval(np.ones(5)) == (1.0, 1.0)


def test_table_has_a_row_each():
    rows = {name: evaluate(torch.eye(3), [0, 1, 2]) for name in ("a", "b")}
    lines = table("title", rows).split("\n")
    assert lines[0] == "title"
    assert lines[-1].startswith("| b | 1.000 [1.000, 1.000] |")


@pytest.mark.parametrize("ranker", [rankers.tf_idf, rankers.lsa, rankers.bm25])
def test_rankers_find_shared_words(ranker):
    documents = [f"{a} {b} {a} night" for a in ("apple", "plum", "fig", "pear") for b in ("tree", "cake", "wine")]
    scores = ranker(["a plum in wine", "fig cake"], documents)
    assert scores.shape == (2, 12)
    assert [documents[place] for place in scores.argmax(1)] == ["plum wine plum night", "fig cake fig night"]


def test_sentence_encoder_where_it_is_installed():
    scores = rankers.minilm(["a small dog"], ["a puppy", "the price of oil"])
    assert scores is None or scores.argmax() == 0


# --- vectors


def test_idf_of_every_token():
    weights = inverse_document_frequency([[0, 0, 1], [1, 2], [1]], 4)
    expected = [math.log(4 / (1 + count)) + 1 for count in (1, 3, 1, 0)]
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_vectors_have_length_one_and_are_the_same_later():
    documents = ITEMS.documents[:40]
    fitted, found = fit(model(), encode, documents)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(40))
    torch.testing.assert_close(vectors(model(), encode, documents, fitted), found)


def test_scaling_takes_the_root_of_each_standard_deviation():
    documents = ITEMS.documents[:200]
    fitted, _ = fit(model(), encode, documents)
    weights = inverse_document_frequency([encode(text) for text in documents], 60)
    embeddings = embed(model(), [encode(text) for text in documents], token_weights=weights)
    before = torch.linalg.svdvals(embeddings - embeddings.mean(0)) / math.sqrt(200)
    spread = ((embeddings - fitted.mean) @ fitted.scaling).std(0, correction=0)
    torch.testing.assert_close(spread.sort(descending=True).values, before.sqrt(), rtol=1e-2, atol=1e-4)


# --- tuning


def test_contrastive_loss_by_hand():
    same = torch.eye(2)
    assert float(contrastive_loss(same, same)) == pytest.approx(math.log(1 + math.exp(-1 / 0.05)), abs=1e-6)
    assert float(contrastive_loss(same, same.flip(0))) == pytest.approx(1 / 0.05, rel=1e-6)
    assert float(contrastive_loss(torch.ones(5, 1), torch.ones(5, 1))) == pytest.approx(math.log(5))


def test_tuning_learns_its_pairs_and_repeats_itself():
    words = [f"{first}{second}" * 3 for first in "abcdefgh" for second in "ijklmnop"]
    pairs = [Pair(word, word[1:] + word[:1]) for word in words]
    tuned, again = model(), model()
    losses = tune(tuned, encode, pairs, epochs=60)
    assert losses[-1] < 0.5 * losses[0]
    assert not tuned.training
    tune(again, encode, pairs, epochs=60)
    for one, other in zip(tuned.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_tuning_needs_pairs():
    with pytest.raises(ValueError, match="1 pairs: at least two are needed"):
        tune(model(), encode, ITEMS.tuning[:1])


# --- index


@given(st.lists(st.text(alphabet="ab \n", max_size=300), max_size=5))
def test_passages_lose_no_word(documents):
    found = passages(documents)
    assert " ".join(found).split() == " ".join(documents).split()
    assert all(passage.strip() for passage in found)


def test_index_finds_a_passage_by_itself_and_again_from_disk(tmp_path):
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    texts = ITEMS.documents[:30]
    index = build_index(model(), encode, texts)
    save_index(index, tmp_path / "index", checkpoint)
    loaded = load_index(tmp_path / "index", checkpoint)
    assert loaded.passages == texts
    for made in (index, loaded):
        found = search(made, model(), encode, texts[7], 3)
        assert found[0] == (pytest.approx(1, abs=1e-5), texts[7])
        assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.ckpt", "index"]


def test_index_of_another_checkpoint_is_refused(tmp_path):
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    save_index(build_index(model(), encode, ITEMS.documents[:5]), tmp_path / "index", checkpoint)
    checkpoint.write_bytes(b"other weights")
    with pytest.raises(ValueError, match="is the index of another checkpoint, not"):
        load_index(tmp_path / "index", checkpoint)


def test_damaged_index_is_refused(tmp_path):
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    folder = tmp_path / "index"
    save_index(build_index(model(), encode, ITEMS.documents[:5]), folder, checkpoint)
    (folder / "passages.jsonl").write_text(json.dumps({"passage": "only one"}) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="damaged index: 1 passages, 5 vectors"):
        load_index(folder, checkpoint)
    (folder / "vectors.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="is not an index or is damaged"):
        load_index(folder, checkpoint)
