"""The embedding of a run as a transformer of scikit-learn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lm.index import embedding_of


class TextEmbedding(TransformerMixin, BaseEstimator):
    """Texts to vectors, by the embedding of a run that has an index. There is nothing to learn: fit loads the run.

    Its parameters are plain, so scikit-learn can clone it, search over them and keep it in a pipeline.

    Args:
        run: the run directory.
        queries: whether the texts are queries, and not documents.

    Attributes:
        embed_: the function embed(texts, queries), of `lm.index.embedding_of`.
    """

    def __init__(self, run: str | Path = "", *, queries: bool = False):
        self.run = run
        self.queries = queries

    def fit(self, texts: Sequence[str], y: object = None) -> "TextEmbedding":
        """Load the run.

        Args:
            texts: ignored.
            y: ignored, as scikit-learn wants it.

        Raises:
            InputError: there is no run or no index.
        """
        self.embed_ = embedding_of(self.run)
        return self

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors (texts, width) float32.

        Raises:
            InputError: a text has no words.
            NotFittedError: `fit` was not called.
        """
        check_is_fitted(self)
        return self.embed_(list(texts), queries=self.queries)
