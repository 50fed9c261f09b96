"""The lexical embedding, the continuation embedding and likelihoods of continuations."""

import numpy as np
import pytest
import torch
from sklearn.base import clone as unfitted
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from lm.continuation import Continuation, document_ids, embedded, query_ids, tune
from lm.lexical import LexicalEmbedding, neighbours
from lm.likelihood import contexts_of, log_likelihoods, usual
from seqlab.errors import InputError
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.spec import Classes, Spec, Tokens

SPEC = Spec(Tokens(60), Classes(60), max_length=44)


def encode(text: str) -> list[int]:
    return [ord(character) % 60 for character in text]


def lstm(seed: int = 0, **options) -> LSTM:
    torch.manual_seed(seed)
    return LSTM(SPEC, d_model=16, hidden_dim=16, num_layers=1, **options).eval()


def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer(SPEC, d_model=16, num_layers=1, num_heads=2, ff_dim=16, dropout=0.0).eval()


def topics(number: int) -> list[str]:
    """Texts of 60 words about one topic each: the words of their first and of their second half differ."""
    rng = np.random.default_rng(0)
    return [
        " ".join(
            [
                *(f"{first}{topic}" for first in rng.choice(list("abcdef"), 30)),
                *(f"{last}{topic}" for last in rng.choice(list("uvwxyz"), 30)),
            ]
        )
        for topic in [f"topic{i % 8}" for i in range(number)]
    ]


# --- lexical


def test_before_tuning_it_is_lsa():
    texts = ["a red apple", "the red apple and the pear", "the cold sea", "a deep sea and the cold rain"]
    embedding = LexicalEmbedding(4, steps=0)
    vectors = embedding.fit_transform(texts)
    counts = embedding.words_.transform(texts).toarray()
    np.testing.assert_allclose(vectors @ vectors.T, counts @ counts.T, atol=1e-5)  # all directions: nothing is lost


def test_tuning_learns_what_follows():
    texts = topics(64)
    firsts, seconds = neighbours(texts, 30)
    margins = []
    for steps in (0, 60):
        embedding = LexicalEmbedding(16, steps=steps).fit([*firsts, *seconds], tuning=texts)
        scores = embedding.transform(firsts) @ embedding.transform(seconds).T
        same = np.equal.outer(np.arange(64) % 8, np.arange(64) % 8)
        margins.append(scores[same].mean() - scores[~same].mean())
    assert abs(margins[0]) < 1e-3 and margins[1] > 0.05  # the halves share no word


def test_lexical_embedding_is_a_transformer_of_scikit_learn():
    texts = topics(16)
    embedding = LexicalEmbedding(8, steps=2, seed=3)
    assert unfitted(embedding).get_params() == {"components": 8, "steps": 2, "seed": 3}
    vectors = make_pipeline(embedding, Normalizer()).fit_transform(texts)
    assert vectors.shape == (16, 8)
    np.testing.assert_array_equal(
        LexicalEmbedding(8, steps=2, seed=3).fit(texts).transform(texts), embedding.transform(texts)
    )
    assert embedding.transform([]).shape == (0, 8)
    assert not embedding.transform(["!?"]).any()


def test_lexical_embedding_needs_words():
    with pytest.raises(InputError, match="2 texts without a word of two letters"):
        LexicalEmbedding().fit(["?", "!"])


def test_lexical_embedding_needs_two_words():
    with pytest.raises(InputError, match="2 texts with the word 'hello' alone"):
        LexicalEmbedding().fit(["hello", "hello"])


def test_a_model_without_a_linear_head_is_refused():
    model = lstm()
    model.head = torch.nn.Identity()
    with pytest.raises(InputError, match="LSTM has no linear head"):
        tune(model, encode, ["a" * 30, "b" * 30], steps=1)


def test_lexical_embedding_is_restored_from_its_words_and_arrays():
    embedding = LexicalEmbedding(8, steps=3).fit(topics(16))
    again = LexicalEmbedding.restored(embedding.words(), *embedding.arrays())
    np.testing.assert_allclose(again.transform(topics(16)), embedding.transform(topics(16)), atol=1e-6)


# --- continuation


@pytest.mark.parametrize("make", [lstm, transformer])
def test_each_text_is_embedded_as_if_it_were_alone(make):
    continuation = Continuation(make()).eval()
    texts = ["a b", "so shaken as we are, so wan with care", "find we a time for frighted peace to pant " * 3]
    for queries in (False, True):
        together = embedded(continuation, encode, texts, queries=queries)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
        for row, text in enumerate(texts):
            np.testing.assert_allclose(
                embedded(continuation, encode, [text], queries=queries)[0], together[row], atol=1e-5
            )
    assert embedded(continuation, encode, []).shape == (0, 256)


def test_only_the_end_of_a_query_and_the_beginning_of_a_document_count():
    continuation = Continuation(lstm()).eval()
    end = "w" * 40
    one, other = embedded(continuation, encode, [f"this and {end}", f"not that {end}"], queries=True)
    np.testing.assert_array_equal(one, other)
    one, other = embedded(continuation, encode, ["a long beginning, and this", "a long beginning, not that"])
    np.testing.assert_array_equal(one, other)


def test_white_space_does_not_matter():
    assert query_ids(encode, "so  shaken\nas we") == query_ids(encode, "so shaken as we") == encode(" so shaken as we")
    assert document_ids(encode, " so\n\nshaken ") == encode(" so shaken")
    with pytest.raises(InputError, match="without words"):
        query_ids(encode, " \n")


def test_tuning_learns_how_texts_continue_and_repeats_itself():
    letters = "abcdefghijklmnopqrst"
    texts = [letters[i:] + letters[:i] for i in range(20)] * 3
    first, losses = tune(lstm(dropout=0.1), encode, texts, steps=30, seed=2)
    again, repeated = tune(lstm(dropout=0.1), encode, texts, steps=30, seed=2)
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
    assert losses == repeated and not first.training
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert tune(lstm(dropout=0.1), encode, texts, steps=2, seed=3)[1] != losses[:2]


def test_tuning_needs_texts():
    with pytest.raises(InputError, match="1 texts of 14 tokens or more to tune on"):
        tune(lstm(), encode, ["a" * 30, "short"])


# --- likelihood


def plain_log_likelihood(model, context, document):
    """One document, from the logits of the whole string, a token at a time."""
    with torch.inference_mode():
        total = 0.0
        for place, token in enumerate(document):
            logits = model(torch.tensor([[*context, *document[:place]]]))[0, -1]
            total += float(logits.log_softmax(0)[token])
    return total


@pytest.mark.parametrize("make", [lstm, transformer])
def test_log_likelihoods_are_those_of_whole_strings(make):
    model = make()
    context, documents = encode("what comes"), [encode("next"), encode("o"), encode("after it all"), encode("next")]
    found = log_likelihoods(model, context, documents)
    torch.testing.assert_close(
        found, torch.tensor([plain_log_likelihood(model, context, each) for each in documents]), rtol=1e-4, atol=1e-4
    )
    contexts = [context, encode("another")]
    mean = torch.stack([log_likelihoods(model, each, documents) for each in contexts]).mean(0)
    torch.testing.assert_close(usual(model, contexts, documents), mean)
    alone = torch.cat([log_likelihoods(model, context, [document]) for document in documents])
    torch.testing.assert_close(alone, found, rtol=1e-4, atol=1e-4)


def test_contexts_are_spread_over_the_texts():
    texts = [f"text {i}" for i in range(80)]
    assert contexts_of(encode, [*texts, " "]) == [encode(f" text {i}") for i in range(0, 80, 10)]
    assert contexts_of(encode, ["one"]) == [encode(" one")]
