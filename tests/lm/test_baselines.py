"""Baselines of a text: they count as they say, and know what they should."""

import gzip
import math
from collections import Counter

import numpy as np
import pytest

from lm import baselines
from lm.baselines import best_n_gram, character_encoder, compare, tail
from lm.corpus import Corpus, load_corpus
from tests.reference.kneser_ney import PlainKneserNey

ALPHABET = "\n abcdeé"
ENCODE = character_encoder(ALPHABET)


def corpus(train: list[str], val: list[str], test: list[str]) -> Corpus:
    return Corpus("files", "letters", tuple(train), tuple(val), tuple(test))


SMALL = corpus(["abc abd abc\nabe"] * 9, ["abc abd"], ["abd abc abé", "a"])


def test_all_rows_are_there():
    rows = compare(SMALL, ENCODE, len(ALPHABET) + 1)
    grams = [name.partition("-")[2] for name in rows if "Kneser" in name]
    assert [*rows][:4] == ["gzip", "xz", "xz after the training text", "unigram of tokens"]
    assert grams == ["gram of tokens (Kneser-Ney)", "gram of characters (Kneser-Ney)"]
    assert {name for name, row in rows.items() if "test/perplexity" in row} == {*rows} & {
        name for name in rows if "tokens" in name
    }


def test_units():
    rows = compare(SMALL, ENCODE, len(ALPHABET) + 1)
    for row in rows.values():
        # 12 characters are 13 bytes
        assert row["test/bits_per_byte"] == pytest.approx(row["test/bits_per_character"] * 12 / 13)
    unigram = rows["unigram of tokens"]
    # 14 ids with both separators, of which the first is given
    assert math.log2(unigram["test/perplexity"]) * 13 == pytest.approx(unigram["test/bits_per_character"] * 12)


def test_gzip_is_gzip():
    text = "".join(SMALL.test).encode()
    bits = 8 * len(gzip.compress(text, 9, mtime=0))
    assert compare(SMALL, ENCODE, 9)["gzip"]["test/bits_per_byte"] == pytest.approx(bits / len(text))


def test_unigram_is_that_of_kneser_ney_of_order_one():
    ids = ENCODE(SMALL.train).tolist()
    plain = PlainKneserNey(ids, 1, 9)
    nats = plain.nats(ENCODE(SMALL.test).tolist())[1:]
    found = compare(SMALL, ENCODE, 9)["unigram of tokens"]["test/perplexity"]
    assert found == pytest.approx(math.exp(sum(nats) / len(nats)))
    assert Counter(ids)[0] == 9


def test_xz_after_the_training_text_finds_what_the_text_repeats():
    generator = np.random.default_rng(0)
    noise = "".join(generator.choice(list("abcde"), 5000))
    rows = compare(corpus([noise], [noise[:50]], [noise[1000:3000]]), ENCODE, 9)
    bits = {name: row["test/bits_per_character"] for name, row in rows.items()}
    assert bits["xz after the training text"] < 0.5
    assert min(bits["gzip"], bits["xz"]) > math.log2(5)


def test_order_is_the_best_on_validation():
    generator = np.random.default_rng(1)
    # the next id is that of two steps ago, plus noise: a trigram is enough
    ids = [0, 1]
    for flip in generator.random(4000):
        ids.append(ids[-2] if flip < 0.9 else int(generator.integers(8)))
    train, val, test = np.split(np.array(ids), [3000, 3500])
    order, nats = best_n_gram(train, val, test, 8, (1, 2, 3, 5))
    assert order == 3
    assert len(nats) == len(test) - 1
    assert 0.9 * math.log(8 / 7) < nats.mean() < 1.0


def test_orders_that_do_not_fit_are_left_out():
    ids = np.arange(5000) % 60_000
    order, _ = best_n_gram(ids, ids[:50], ids[:50], 60_000, (3, 4, 5))
    assert order == 3


def test_long_training_text_is_cut_and_the_names_say_so(monkeypatch):
    monkeypatch.setattr(baselines, "MOST_CHARACTERS", 20)
    rows = compare(SMALL, ENCODE, 9)
    assert all(("characters of training text" in name) == (name not in ("gzip", "xz")) for name in rows)


def test_tail_of_everything_is_everything():
    assert tail(["ab", "c"], 3) == ["ab", "c"]
    assert tail(["ab", "c"], 99) == ["ab", "c"]


@pytest.mark.slow
def test_tiny_shakespeare():
    text = load_corpus("shakespeare")
    alphabet = sorted(set().union(*text.train, *text.val, *text.test))
    rows = compare(text, character_encoder(alphabet), len(alphabet) + 1)
    bits = {name: round(row["test/bits_per_character"], 2) for name, row in rows.items()}
    assert bits["7-gram of characters (Kneser-Ney)"] == 2.20
    assert bits["gzip"] == 3.19
