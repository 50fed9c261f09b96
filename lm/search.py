"""Search of a user's own passages: an index of words and of vectors, exact, and kept in a folder without pickle.

A query is compared with every passage, in blocks, so nothing is missed and no library of approximate neighbours is
needed: a million passages of 512 dimensions are a file of 2.05 GB, which is mapped into memory and read once per query.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lm.continuation import Continuation, document_ids, embedded, query_ids
from lm.hybrid import WEIGHTS, best_places, weighted
from lm.lexical import LexicalEmbedding
from lm.likelihood import contexts_of, log_likelihoods, usual
from lm.passages import passages
from lm.rankers import word_index, word_scores
from lm.vectors import Encode
from seqlab.model import SequenceModel

if TYPE_CHECKING:
    from bm25s import BM25

ROWS_AT_ONCE = 2**16  # of vectors, in a product
MOST_FITTED = 50_000  # passages that the lexical embedding learns its words from
CONTINUATION_FACTOR = 0.5  # of the continuation's part of a vector, beside 1 for the lexical part


class Models(NamedTuple):
    """What reads texts: a language model, a continuation embedding tuned from it, and their tokenizer's `encode`."""

    model: SequenceModel
    continuation: Continuation
    encode: Encode


class Index(NamedTuple):
    """Passages and what finds them.

    passages: the texts.
    sources: the name of the document of each.
    bm25: their words.
    lexical: the lexical embedding, fitted on them.
    vectors: (passages, width) float32, the lexical part and then that of the continuation; may be mapped from a file.
    usual: (passages,) float32, the mean log-likelihood of their beginnings (lm/likelihood.py).
    """

    passages: list[str]
    sources: list[str]
    bm25: "BM25"
    lexical: LexicalEmbedding
    vectors: np.ndarray
    usual: np.ndarray


class Found(NamedTuple):
    """A passage found, with the score it is ranked by and the score of each part."""

    score: float
    parts: dict[str, float]
    source: str
    passage: str


def build(documents: Mapping[str, str], models: Models) -> Index:
    """Build the index of the passages of documents, given by name.

    Raises:
        InputError: the package bm25s is not installed, or there is no word in the documents.
    """
    pieces = [(name, passage) for name, document in documents.items() for passage in passages([document])]
    texts = [passage for _, passage in pieces]
    lexical = LexicalEmbedding().fit(texts[:: 1 + len(texts) // MOST_FITTED])
    lexicon = word_index(texts)
    beginnings = [document_ids(models.encode, text) for text in texts]
    prior = usual(models.model, contexts_of(models.encode, texts), beginnings).numpy()
    vectors = joined(lexical, models, texts)
    return Index(texts, [name for name, _ in pieces], lexicon, lexical, vectors, prior)


def joined(lexical: LexicalEmbedding, models: Models, texts: Sequence[str], *, queries: bool = False) -> np.ndarray:
    """Vectors of texts as documents, or as queries: the lexical part, then the continuation's. (texts, width) float32.

    The dot product of a query and a document is the similarity of their words plus 0.25 times that of the continuation.
    """
    parts = [lexical.transform(texts)]
    parts.append(CONTINUATION_FACTOR * embedded(models.continuation, models.encode, texts, queries=queries))
    return np.concatenate(parts, 1)


def similarities(vectors: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The dot product of each of `vectors` (passages, width) with a vector (width,): (passages,) float32.

    Vectors that are mapped from a file are read a block at a time.
    """
    blocks = (vectors[start : start + ROWS_AT_ONCE] @ direction for start in range(0, len(vectors), ROWS_AT_ONCE))
    return np.concatenate([*blocks])


def search(index: Index, models: Models, query: str, number: int, *, hybrid: bool) -> list[Found]:
    """The `number` best passages, best first.

    Args:
        index: the index.
        models: those that it was built with.
        query: a text.
        number: how many, up to 100.
        hybrid: whether to rank by the weighted sum of BM25 and both parts of the vectors (lm/hybrid.py has what
            validation chose), instead of by the vectors alone. Likelihoods are then known of the passages found.

    Raises:
        InputError: the query has no words.
    """
    direction = joined(index.lexical, models, [query], queries=True)[0]
    width = index.lexical.vectors_.shape[1]
    parts = {
        "lexical": similarities(index.vectors[:, :width], direction[:width]),
        "continuation": similarities(index.vectors[:, width:], direction[width:]) / CONTINUATION_FACTOR**2,
    }
    if not hybrid:
        scores = parts["lexical"] + CONTINUATION_FACTOR**2 * parts["continuation"]
        return found(index, scores, parts, best_places(scores, number))
    parts["BM25"] = word_scores(index.bm25, [query])[0]
    scores = weighted(parts, WEIGHTS)
    places = best_places(scores, number)
    beginnings = [document_ids(models.encode, index.passages[place]) for place in places]
    likely = log_likelihoods(models.model, query_ids(models.encode, query), beginnings).numpy() - index.usual[places]
    parts["likelihood"] = np.zeros(len(scores), np.float32)
    parts["likelihood"][places] = likely
    return found(index, scores, parts, places)


def found(index: Index, scores: np.ndarray, parts: Mapping[str, np.ndarray], places: np.ndarray) -> list[Found]:
    """The passages at some places, with their scores."""
    return [
        Found(
            float(scores[place]),
            {name: float(part[place]) for name, part in parts.items()},
            index.sources[place],
            index.passages[place],
        )
        for place in places
    ]
