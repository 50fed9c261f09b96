"""A lexical embedding: word vectors, summed over the words of a text by learned weights, for ranking by the words used.

It starts as latent semantic analysis (Deerwester et al. 1990) of sublinear TF-IDF vectors. Then the vectors and the
weights of the words are tuned by contrast: of the chunks in a batch, each must find the chunk that follows it in its
text (InfoNCE, van den Oord et al. 2018). It needs no language model.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from lm.contrastive import contrastive_loss
from seqlab.errors import InputError
from seqlab.randomness import derived_seed

BATCH_SIZE = 256
CHUNK_WORDS = 40
VECTOR_RATE, WEIGHT_RATE = 3e-4, 3e-2  # learning rates; chosen on the validation plays of lm/known_items.py
TEXTS_AT_ONCE = 4096


class LexicalEmbedding(TransformerMixin, BaseEstimator):
    """A scikit-learn transformer of texts to unit vectors, whose dot products are similarities.

    Args:
        components: width of the vectors, at most; fewer where there are fewer texts or words.
        steps: steps of tuning, of 256 pairs of chunks each; 0: none.
        seed: seed of the decomposition and of the pairs.

    Attributes:
        words_: TfidfVectorizer, sublinear: 1 + ln(count) times the inverse document frequency, texts of length 1.
        weights_: (words,) float32, factors of these values; 1 before tuning.
        vectors_: (words, components) float32.

    >>> texts = ["a red apple", "a green apple", "the cold sea", "the deep sea"]
    >>> LexicalEmbedding(components=2, steps=0).fit_transform(texts).shape
    (4, 2)
    """

    def __init__(self, components: int = 256, *, steps: int = 400, seed: int = 1):
        self.components = components
        self.steps = steps
        self.seed = seed

    def fit(self, texts: Sequence[str], y: object = None, *, tuning: Sequence[str] | None = None) -> "LexicalEmbedding":
        """Learn words, weights and vectors.

        Args:
            texts: the texts to be searched.
            y: ignored, as scikit-learn wants it.
            tuning: texts whose chunks are tuned on; default: the texts themselves.

        Raises:
            InputError: the texts have fewer than two different words of two letters or more.
        """
        self.words_ = TfidfVectorizer(sublinear_tf=True)
        try:
            self.words_.fit(texts)
        except ValueError as error:  # an empty vocabulary
            raise InputError(f"{len(texts):,} texts without a word of two letters or more: nothing to embed") from error
        if len(self.words_.vocabulary_) < 2:
            (word,) = self.words_.vocabulary_
            raise InputError(f"{len(texts):,} texts with the word {word!r} alone: two different ones are needed")
        found = self._counts(texts)
        width = min(self.components, len(texts), len(self.words_.vocabulary_))
        svd = TruncatedSVD(width, n_iter=3, random_state=derived_seed(self.seed, "lsa") % 2**32)
        svd.fit(found)
        self.vectors_ = np.ascontiguousarray(np.asarray(svd.components_).T, dtype=np.float32)
        self.weights_ = np.ones(len(self.vectors_), np.float32)
        self._tune(texts if tuning is None else tuning)
        return self

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (texts, components) float32; 0 for a text without a known word."""
        vectors, weights = torch.from_numpy(self.vectors_), torch.from_numpy(self.weights_)
        parts = [
            summed(self._counts(texts[start : start + TEXTS_AT_ONCE]), weights, vectors)
            for start in range(0, len(texts), TEXTS_AT_ONCE)
        ]
        return torch.cat(parts).numpy() if parts else np.empty((0, self.vectors_.shape[1]), np.float32)

    def words(self) -> list[str]:
        """The words, in the order of `vectors_`."""
        return [str(word) for word in self.words_.get_feature_names_out()]

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What was learned about the words: vectors, weights, and inverse document frequencies (words,)."""
        return self.vectors_, self.weights_, np.asarray(self.words_.idf_, np.float32)

    @classmethod
    def restored(
        cls, words: Sequence[str], vectors: np.ndarray, weights: np.ndarray, rarity: np.ndarray
    ) -> "LexicalEmbedding":
        """A fitted embedding from what `words` and `arrays` returned."""
        made = cls(vectors.shape[1])
        made.words_ = TfidfVectorizer(sublinear_tf=True, vocabulary=list(words))
        made.words_.idf_ = rarity
        made.vectors_, made.weights_ = vectors, weights
        return made

    def _counts(self, texts: Sequence[str]) -> csr_matrix:
        return csr_matrix(self.words_.transform(texts), dtype=np.float32)

    def _tune(self, texts: Sequence[str]) -> None:
        chunks = neighbours(texts)
        batch = min(BATCH_SIZE, len(chunks[0]))
        if batch < 2:
            return
        firsts, seconds = (self._counts(side) for side in chunks)
        vectors = torch.from_numpy(self.vectors_).requires_grad_()
        logarithms = torch.zeros(len(self.vectors_), requires_grad=True)
        scale = torch.tensor(np.log(20.0), dtype=torch.float32, requires_grad=True)
        groups = [{"params": [vectors], "lr": VECTOR_RATE}, {"params": [logarithms, scale]}]
        optimizer = torch.optim.Adam(groups, lr=WEIGHT_RATE)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, max(1, self.steps))
        generator = np.random.default_rng(derived_seed(self.seed, "lexical"))
        for _ in range(self.steps):
            rows = generator.choice(len(chunks[0]), batch, replace=False)
            left, right = (summed(side[rows], logarithms.exp(), vectors) for side in (firsts, seconds))
            loss = contrastive_loss(left, right, scale.exp())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.vectors_ = vectors.detach().numpy()
        self.weights_ = logarithms.detach().exp().numpy()


def summed(counts: csr_matrix, weights: Tensor, vectors: Tensor) -> Tensor:
    """The unit vectors of texts: the weighted sum of their words' vectors, (texts, components).

    Args:
        counts: (texts, words), how much of each word is in each text.
        weights: (words,) factors of these.
        vectors: (words, components).
    """
    words = torch.from_numpy(counts.indices.astype(np.int64))
    starts = torch.from_numpy(counts.indptr[:-1].astype(np.int64))
    amounts = torch.from_numpy(counts.data) * weights[words]
    return normalize(embedding_bag(words, vectors, starts, mode="sum", per_sample_weights=amounts), dim=1)


def neighbours(texts: Sequence[str], words: int = CHUNK_WORDS) -> tuple[list[str], list[str]]:
    """Chunks of texts, and the chunk that follows each, in its text.

    >>> neighbours(["a b c d e", "f"], words=2)
    (['a b', 'c d'], ['c d', 'e'])
    """
    firsts, seconds = [], []
    for text in texts:
        split = text.split()
        chunks = [" ".join(split[start : start + words]) for start in range(0, len(split), words)]
        firsts += chunks[:-1]
        seconds += chunks[1:]
    return firsts, seconds
