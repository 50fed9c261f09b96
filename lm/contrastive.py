"""Contrastive tuning of a language model for retrieval, which `seqlab finetune RUN` does.

In a batch of pairs, each query must find its own document among all documents of the batch (InfoNCE, van den Oord et
al. 2018), and each document its query.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from lm.embed import Piece, head_inputs, pooled
from lm.known_items import Pair
from lm.vectors import Encode, inverse_document_frequency
from seqlab.errors import InputError
from seqlab.model import SequenceModel
from seqlab.randomness import derived_seed, permutation

BATCH_SIZE = 64
TEMPERATURE = 0.05
LEARNING_RATE = 5e-4
EPOCHS = 8
MOST_TOKENS = 128  # texts are truncated to this length in tuning


def tune(
    model: SequenceModel, encode: Encode, pairs: Sequence[Pair], *, epochs: int = EPOCHS, seed: int = 1
) -> list[float]:
    """Tune a model in place. Returns the mean loss of each epoch in nats.

    Args:
        model: a token model; it is in evaluation mode afterwards.
        encode: text to ids.
        pairs: at least two.
        epochs: number of passes over the pairs.
        seed: seed of their order and of dropout.

    Raises:
        InputError: there are fewer than two pairs.
    """
    if len(pairs) < 2:
        raise InputError(f"{len(pairs)} pairs: at least two are needed, so that a query has other documents")
    most = MOST_TOKENS if model.endless_state else min(MOST_TOKENS, model.spec.max_length)
    rows = [(encode(pair.query)[:most], encode(pair.document)[:most]) for pair in pairs]
    weights = inverse_document_frequency([ids for row in rows for ids in row], model.spec.output.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    batches_per_epoch = max(1, len(rows) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * batches_per_epoch)
    losses = []
    torch.manual_seed(derived_seed(seed, "tuning"))  # for dropout
    model.train()
    for epoch in range(epochs):
        order = permutation(seed, "tuning", epoch, len(rows)).tolist()
        total = 0.0
        for batch in range(batches_per_epoch):
            chosen = [rows[place] for place in order[batch * BATCH_SIZE : (batch + 1) * BATCH_SIZE]]
            loss = contrastive_loss(*(directions(model, side, weights) for side in zip(*chosen, strict=True)))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / batches_per_epoch)
    model.eval()
    return losses


def directions(model: SequenceModel, rows: Sequence[Sequence[int]], weights: Tensor) -> Tensor:
    """The normalized pooled states of texts, with gradients: (texts, width)."""
    pieces = [Piece(row, ids, len(ids), True) for row, ids in enumerate(rows)]
    with head_inputs(model) as captured:
        sums = pooled(model, captured, pieces, "mean", weights)
    return normalize(sums[:, :-1], dim=1)  # sum and mean have the same direction


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
