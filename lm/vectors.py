"""Vectors of texts for ranking: rare tokens weigh more, directions common to all documents less."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lm.embed import Pooling, embed
from seqlab.model import SequenceModel

Encode = Callable[[str], Sequence[int]]


class Fitted(NamedTuple):
    """Statistics of documents, fitted without relevance labels.

    token_weights: (vocabulary,) inverse document frequency of each token.
    mean: (width,) mean of the documents' embeddings.
    scaling: (width, width) principal components of the centred embeddings, each divided by the square root of its
        standard deviation.
    """

    token_weights: Tensor
    mean: Tensor
    scaling: Tensor


def fit(
    model: SequenceModel, encode: Encode, documents: Sequence[str], *, pooling: Pooling = "mean"
) -> tuple[Fitted, Tensor]:
    """Fit the statistics on documents. Returns them and the documents' unit vectors (documents, width).

    The states of a language model vary most in what all texts have in common. Whitening (Su et al. 2021, "Whitening
    sentence representations") subtracts the mean and scales directions down. Here it is done halfway: each direction is
    divided by the square root of its standard deviation. Weighting by rarity is from Arora et al. (2017).
    docs/results/text has the ranking results.

    Raises:
        ValueError: a document has no tokens.
    """
    rows = [encode(document) for document in documents]
    weights = inverse_document_frequency(rows, model.spec.output.width)
    embeddings = embed(model, rows, pooling=pooling, token_weights=weights)
    mean = embeddings.mean(0)
    # from the covariance, in float64: there are many documents and few dimensions
    centred = (embeddings - mean).double()
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    # bounds the scale of directions without variance
    variances = variances.clamp(min=float(variances[-1]) * 1e-6 + 1e-30)
    fitted = Fitted(weights, mean, (directions * variances**-0.25).float())
    return fitted, scaled(embeddings, fitted)


def vectors(
    model: SequenceModel, encode: Encode, texts: Sequence[str], fitted: Fitted, *, pooling: Pooling = "mean"
) -> Tensor:
    """Unit vectors of texts, (texts, width). Their dot products are cosine similarities."""
    rows = [encode(text) for text in texts]
    return scaled(embed(model, rows, pooling=pooling, token_weights=fitted.token_weights), fitted)


def scaled(embeddings: Tensor, fitted: Fitted) -> Tensor:
    """Embeddings minus the mean, in scaled principal components, normalized: (texts, width)."""
    return normalize((embeddings - fitted.mean) @ fitted.scaling, dim=1)


def inverse_document_frequency(rows: Sequence[Sequence[int]], vocabulary_size: int) -> Tensor:
    """Inverse document frequency ln((1 + documents) / (1 + documents with the token)) + 1: (vocabulary_size,) float32.

    >>> inverse_document_frequency([[0, 0], [0, 1]], 3).exp().div(torch.e).tolist()
    [1.0, 1.5, 3.0]
    """
    counts = torch.zeros(vocabulary_size)
    for ids in rows:
        counts[torch.as_tensor(ids, dtype=torch.int64).unique()] += 1
    return ((1 + len(rows)) / (1 + counts)).log() + 1
