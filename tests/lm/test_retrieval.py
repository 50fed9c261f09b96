"""Known-item retrieval: the tasks, the measures, the rankers of words, pooled states, and all rankers in one table."""

import math

import numpy as np
import pytest
import torch

from lm import rankers
from lm.comparison import compare, joined, without_model
from lm.continuation import Continuation
from lm.contrastive import contrastive_loss
from lm.corpus import load_corpus, plays
from lm.derive_plays import NINE
from lm.embed import embed
from lm.hybrid import best_places, chosen_weights, reranked, weighted
from lm.known_items import (
    Asked,
    KnownItems,
    Pair,
    every_other_line,
    halves,
    items_of,
    last_sentence,
    speech_items,
    summary_items,
    tuning_texts,
)
from lm.ranking import bootstrap_interval, difference, evaluate, interval, ranks, table
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
    assert len(ITEMS.test.queries) == len(ITEMS.test.relevant) > 800
    assert len(ITEMS.val.queries) > 400
    assert len(ITEMS.documents) > 3000
    places = [*ITEMS.val.relevant, *ITEMS.test.relevant]
    assert len(set(places)) == len(places)
    for query, place in zip(ITEMS.test.queries, ITEMS.test.relevant, strict=True):
        assert 0 <= len(ITEMS.documents[place].split()) - len(query.split()) <= 1


def test_queries_are_in_nothing_that_was_learnt_from():
    trained = " ".join("\n".join(SPEECH.train).split())
    tuned = "\n".join(ITEMS.tuning)
    for asked in (ITEMS.val, ITEMS.test):
        assert not any(query in trained or query in tuned for query in asked.queries[::10])
        assert not any(ITEMS.documents[place] in tuned for place in asked.relevant[::10])
    assert not set(ITEMS.val.queries) & set(ITEMS.test.queries)


def test_lines_of_the_same_speeches():
    lines = items_of(SPEECH, "lines")
    assert len(lines.documents) == pytest.approx(len(ITEMS.documents), rel=0.01)
    assert lines.tuning == ITEMS.tuning
    assert "even lines" in lines.description
    assert every_other_line("one\ntwo  2\n\nthree\nfour" + " w" * 60) == Pair("one three", "two 2 four" + " w" * 60)
    assert every_other_line("one line " * 60) is None
    assert every_other_line("two\nlines") is None


def test_own_text_is_tuned_on_in_passages_of_its_training_part():
    own = SPEECH._replace(name="files", train=("a b\n\nc " + "w " * 40,), val=("v",), test=("t",))
    assert tuning_texts(own) == ["a b\n\nc " + "w " * 40]
    assert tuning_texts(SPEECH) == ITEMS.tuning


def test_plays_that_a_model_has_read_give_no_queries():
    texts = plays()
    read = [texts[name] for name in ("twelfth-night", "othello")]
    items = speech_items(read)
    assert "10 plays" in items.description
    joined = ["".join(f"{word} " for word in text.split()) for text in read]
    assert not any(query in text for text in joined for query in items.test.queries)
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
    items = summary_items(texts[:20], texts[20:23], texts[23:])
    for asked, numbers in ((items.val, range(20, 23)), (items.test, range(23, 30))):
        assert asked.queries == [f"It has {i} corners." for i in numbers]
        assert [items.documents[place] for place in asked.relevant] == [f"This is {i}." for i in numbers]
    assert items.tuning == [text.partition("\n\n")[2] for text in texts[:20]]


# --- measures


def test_measures_by_hand():
    scores = np.full((4, 200), -1.0)
    scores[0, 3] = 1  # rank 1
    scores[1, :3], scores[1, 3] = 2, 1  # rank 4
    scores[2, :10], scores[2, 150] = 2, 1  # rank 11
    scores[3, :150], scores[3, 160] = 2, 1  # rank 151
    found = evaluate(ranks(scores, [3, 3, 150, 160])[None])
    assert found["MRR@10"].value == pytest.approx((1 + 1 / 4) / 4)
    assert found["nDCG@10"].value == pytest.approx((1 + 1 / math.log2(5)) / 4)
    assert [found[name].value for name in ("recall@1", "recall@10", "recall@100")] == [0.25, 0.5, 0.75]
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in found.values())


def test_bootstrap_interval_of_a_mean():
    values = np.random.default_rng(0).normal(size=2000)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.1)
    assert bootstrap_interval(np.ones(5)) == (1.0, 1.0)


def test_interval_of_several_runs_is_the_wider_of_queries_and_runs():
    of_queries = np.random.default_rng(0).normal(size=(1, 2000))
    alike = interval(of_queries.repeat(10, 0))  # ten runs that say the same are worth one
    assert alike == pytest.approx(bootstrap_interval(of_queries[0]))
    of_runs = np.array([[0.1], [0.2], [0.6]]).repeat(50, 1)  # queries that say the same are worth one
    assert interval(of_runs) == pytest.approx(
        (0.3 - 4.3027 * 0.26458 / 3**0.5, 0.3 + 4.3027 * 0.26458 / 3**0.5), rel=1e-3
    )


def test_a_proportion_does_not_change_with_the_number_of_equal_runs():
    hits = np.array([[1.0] * 20])
    assert interval(hits.repeat(3, 0), proportion=True) == interval(hits, proportion=True)
    assert interval(hits, proportion=True)[0] < 0.9


def test_difference_is_paired():
    harder = np.random.default_rng(0).random((1, 300))
    value, low, high, _ = difference(harder + 0.01, harder)
    assert value == pytest.approx(0.01) and high - low < 1e-9  # the spread over queries is in both
    assert difference(harder, harder[:, ::-1]).low < 0 < difference(harder, harder[:, ::-1]).high


def test_table_has_a_row_each():
    rows = {name: evaluate(np.array([[1, 1, 1]])) for name in ("a", "b")}
    lines = table("title", rows).split("\n")
    assert lines[0] == "title"
    assert lines[-1].startswith("| b | 1.000 [1.000, 1.000] |")


def sublinear(queries, documents):
    return rankers.tf_idf(queries, documents, sublinear=True)


def narrow_lsa(queries, documents):
    first, second = rankers.lsa(queries, documents, (6, 8))
    assert not np.allclose(first, second)
    return first


@pytest.mark.parametrize("ranker", [rankers.tf_idf, sublinear, narrow_lsa, rankers.bm25])
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
    assert float(contrastive_loss(same, same.flip(0), 3.0)) == pytest.approx(3 + math.log(1 + math.exp(-3)), rel=1e-6)
    assert float(contrastive_loss(torch.ones(5, 1), torch.ones(5, 1))) == pytest.approx(math.log(5))


# --- several rankers


def test_weighted_sums_are_of_standardised_scores():
    words = np.array([[0.0, 10.0, 20.0]])
    vectors_ = np.array([[2.0, 1.0, 0.0]])
    root = math.sqrt(1.5)
    expected = np.array([[-root + 0.5 * root, 0, root - 0.5 * root]])
    np.testing.assert_allclose(weighted({"a": words, "b": vectors_}, {"a": 1.0, "b": 0.5}), expected, atol=1e-12)


def test_weights_are_those_with_the_highest_mrr():
    rng = np.random.default_rng(0)
    relevant = list(range(40))
    useful = rng.normal(size=(40, 60))
    useful[range(40), relevant] += 1
    scores = {"first": rng.normal(size=(40, 60)), "useful": useful, "useless": -useful}
    chosen = chosen_weights(scores, relevant, "first")
    assert chosen == {"first": 1.0, "useful": 1.0, "useless": 0.0}


def test_re_ranking_moves_the_first_documents_alone():
    scores = np.array([3.0, 5.0, 4.0, 1.0, 2.0])
    places = best_places(scores, 3)
    assert places.tolist() == [1, 2, 0]
    found = reranked(scores, places, np.array([0.0, 0.0, 9.0]), 5.0)
    assert best_places(found, 3).tolist() == [0, 1, 2]
    assert found[[3, 4]].max() < found[places].min()
    assert best_places(reranked(scores, places, np.zeros(3), 5.0), 3).tolist() == [1, 2, 0]


def test_comparison_has_every_ranker_and_chooses_on_val():
    speeches_ = [" ".join(f"word{(7 * i + j) % 50}" for j in range(30)) for i in range(40)]
    queries, documents = ([text.split()[half] for text in speeches_] for half in (slice(15), slice(15, None)))
    queries, documents = ([" ".join(words) for words in side] for side in (queries, documents))
    items = KnownItems(
        "a task", documents, Asked(queries[:5], [*range(5)]), Asked(queries[5:9], [*range(5, 9)]), speeches_[9:]
    )
    tuned = {"seed 1": Continuation(model()).eval(), "seed 1, untrained": Continuation(model(1)).eval()}
    found = compare(items, without_model(items), encode, model(), model(1), tuned)
    assert {"BM25", "TF-IDF", "TF-IDF, sublinear", "LSA, 256", "lexical", "BM25, re-ranked"} <= set(found.rows)
    assert "BM25 + lexical + continuation (seed 1), re-ranked" in found.rows
    assert "continuation (seed 1)" not in found.rows  # never alone
    assert "BM25 + continuation (seed 1) less BM25 + continuation (seed 1, untrained)" in found.pairs
    assert found.weights["BM25 + continuation (seed 1)"][0].startswith("1.0 BM25, ")
    assert str(found).startswith("a task\n\n| ranker |")
    twice = joined([found, found])
    assert twice.rows.keys() == found.rows.keys()
    assert twice.pairs["BM25, re-ranked less BM25"].by_run == 2 * found.pairs["BM25, re-ranked less BM25"].by_run
    assert "a task; mean over 2 runs" in str(twice) and "| each run |" in str(twice)
