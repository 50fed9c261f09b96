"""The contrastive loss of the embeddings: in a batch of pairs, each query must find its own document among all of it.

It is InfoNCE (van den Oord et al. 2018), in both directions.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def contrastive_loss(queries: Tensor, documents: Tensor, scale: Tensor | float = 20.0) -> Tensor:
    """The symmetric InfoNCE loss in nats for unit vectors (n, width): the mean of both directions.

    Args:
        queries: row i belongs to row i of the documents.
        documents: as many.
        scale: factor of the similarities, the inverse of the temperature.
    """
    scores = queries @ documents.T * scale
    right = torch.arange(len(scores), device=scores.device)
    return (cross_entropy(scores, right) + cross_entropy(scores.T, right)) / 2
