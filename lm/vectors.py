"""Vectors of texts for ranking: rare tokens count more, and what all documents share counts less."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lm.embed import Pooling, embed
from seqlab.model import SequenceModel

Encode = Callable[[str], Sequence[int]]


class Fitted(NamedTuple):
    """What was learnt from documents, without looking at which belongs to which query.

    token_weights: (vocabulary,) inverse document frequency of each token.
    mean: (width,) of the documents' embeddings.
    scaling: (width, width) the principal components of their differences from the mean, each over the root of its
        standard deviation.
    """

    token_weights: Tensor
    mean: Tensor
    scaling: Tensor


def fit(
    model: SequenceModel, encode: Encode, documents: Sequence[str], *, pooling: Pooling = "mean"
) -> tuple[Fitted, Tensor]:
    """What vectors of texts need from documents, and the documents' own vectors (documents, width).

    States of a language model vary most in what every text shares. Taking out the mean and scaling directions down (Su
    et al. 2021, "Whitening sentence representations") is done halfway: dividing by the root of each standard deviation.
    Weighing by rarity is from Arora et al. (2017). docs/results/text says how it ranks.

    Raises:
        ValueError: a document has no tokens.
    """
    rows = [encode(document) for document in documents]
    weights = inverse_document_frequency(rows, model.spec.output.width)
    embeddings = embed(model, rows, pooling=pooling, token_weights=weights)
    mean = embeddings.mean(0)
    # in float64, and by the covariance: documents are many, dimensions few
    centred = (embeddings - mean).double()
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    # directions in which documents do not differ at all get a bounded scale
    variances = variances.clamp(min=float(variances[-1]) * 1e-6 + 1e-30)
    fitted = Fitted(weights, mean, (directions * variances**-0.25).float())
    return fitted, scaled(embeddings, fitted)


def vectors(
    model: SequenceModel, encode: Encode, texts: Sequence[str], fitted: Fitted, *, pooling: Pooling = "mean"
) -> Tensor:
    """Vectors of length 1, (texts, width): their products are cosines."""
    rows = [encode(text) for text in texts]
    return scaled(embed(model, rows, pooling=pooling, token_weights=fitted.token_weights), fitted)


def scaled(embeddings: Tensor, fitted: Fitted) -> Tensor:
    """Less the mean, in scaled principal components, then of length 1."""
    return normalize((embeddings - fitted.mean) @ fitted.scaling, dim=1)


def inverse_document_frequency(rows: Sequence[Sequence[int]], vocabulary_size: int) -> Tensor:
    """ln((1 + documents) / (1 + documents with the token)) + 1: (vocabulary_size,) float32.

    >>> inverse_document_frequency([[0, 0], [0, 1]], 3).exp().div(torch.e).tolist()
    [1.0, 1.5, 3.0]
    """
    counts = torch.zeros(vocabulary_size)
    for ids in rows:
        counts[torch.as_tensor(ids, dtype=torch.int64).unique()] += 1
    return ((1 + len(rows)) / (1 + counts)).log() + 1
