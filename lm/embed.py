"""Texts as vectors: the states that a language model's head reads, pooled over the tokens of each text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.model import SequenceModel

Pooling = Literal["mean", "last"]
TOKENS_AT_ONCE = 8192  # of a batch, padding counted


class Piece(NamedTuple):
    """What a model reads at once of one text.

    row: of the text.
    ids: its tokens in this piece.
    new: how many of the last ones are in no piece before it.
    ends: whether the text ends here.
    """

    row: int
    ids: Sequence[int]
    new: int
    ends: bool


def pieces_of(row: int, ids: Sequence[int], window: int | None) -> list[Piece]:
    """A text as windows that follow one another, the last of them ending with the text, so that all are full."""
    if window is None or len(ids) <= window:
        return [Piece(row, ids, len(ids), True)]
    ends = [*range(window, len(ids), window), len(ids)]
    before = [0, *ends]
    return [
        Piece(row, ids[end - window : end], end - start, end == len(ids))
        for start, end in zip(before, ends, strict=False)
    ]


def embed(
    model: SequenceModel,
    texts: Sequence[Sequence[int]],
    *,
    pooling: Pooling = "mean",
    token_weights: Tensor | None = None,
) -> Tensor:
    """One vector a text, (texts, width) float32 on the CPU, in their order; of no texts, (0, 0).

    Texts of like length are read together, padded on the right to the longest of them: a causal model's states know
    nothing of padding. A text beyond spec.max_length is read in windows, but for models with an endless state.

    Args:
        model: a token model, in evaluation mode.
        texts: ids, at least one each.
        pooling: `mean` over the states of all tokens, or the state of the `last` one.
        token_weights: (vocabulary,) positive: how much the state of a token counts in a mean; default: all the same.

    Raises:
        ValueError: a text has no ids.
    """
    if empty := [row for row, ids in enumerate(texts) if not len(ids)]:
        raise ValueError(f"text {empty[0]} has no tokens: nothing to embed")
    window = None if model.endless_state else model.spec.max_length
    pieces = [piece for row, ids in enumerate(texts) for piece in pieces_of(row, ids, window)]
    pieces.sort(key=lambda piece: len(piece.ids))
    if not pieces:
        return torch.empty(0, 0)
    parts, rows = [], []
    with torch.inference_mode(), head_inputs(model) as captured:
        for batch in batches(pieces):
            sums = pooled(model, captured, batch, pooling, token_weights)
            parts.append(sums.cpu())
            rows += [piece.row for piece in batch]
    sums = torch.cat(parts)
    totals = torch.zeros(len(texts), sums.shape[1]).index_add_(0, torch.tensor(rows), sums)
    return totals[:, :-1] / totals[:, -1:]


def batches(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces, sorted by length, in groups of at most TOKENS_AT_ONCE tokens with padding, or of one."""
    group: list[Piece] = []
    for piece in pieces:
        if group and (len(group) + 1) * len(piece.ids) > TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(piece)
    yield group


def pooled(
    model: SequenceModel, captured: list[Tensor], batch: Sequence[Piece], pooling: Pooling, weights: Tensor | None
) -> Tensor:
    """The weighted sum of states of each piece, and the sum of weights beside it: (batch, width + 1) float32."""
    device = next(model.parameters()).device
    ids, counts = padded(batch, pooling)
    if weights is not None and pooling == "mean":
        counts = counts * weights.cpu()[ids]
    ids, counts = ids.to(device), counts.to(device)
    model(ids)
    states = captured.pop().float()
    return torch.cat([(counts.unsqueeze(1) @ states).squeeze(1), counts.sum(1, keepdim=True)], dim=1)


def padded(batch: Sequence[Piece], pooling: Pooling) -> tuple[Tensor, Tensor]:
    """Ids (batch, time) int64, filled up with 0 on the right, and 1 where a state counts, 0 elsewhere, float32."""
    longest = max(len(piece.ids) for piece in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.int64)
    counts = torch.zeros(len(batch), longest)
    for row, piece in enumerate(batch):
        length = len(piece.ids)
        ids[row, :length] = torch.as_tensor(piece.ids)
        if pooling == "mean":
            counts[row, length - piece.new : length] = 1
        elif piece.ends:
            counts[row, length - 1] = 1
    return ids, counts


@contextmanager
def head_inputs(model: SequenceModel) -> Iterator[list[Tensor]]:
    """While open, each call of the model adds what its head would have read, (batch, time, width), to the list.

    The head itself is handed no steps: its logits, of which there are more than states, are not computed.

    Raises:
        ValueError: when the model has no linear head.
    """
    head = getattr(model, "head", None) or getattr(model, "lm_head", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(f"{type(model).__name__} has no linear head whose inputs could be embeddings")
    captured: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        captured.append(inputs[0])
        return (inputs[0][:, :0],)

    handle = head.register_forward_pre_hook(keep)
    try:
        yield captured
    finally:
        handle.remove()
