"""Embeddings of texts: the states before a language model's head, pooled over the tokens of each text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import InputError
from seqlab.model import SequenceModel

Pooling = Literal["mean", "last"]
TOKENS_AT_ONCE = 8192  # tokens in a batch, including padding


class Piece(NamedTuple):
    """A part of a text that a model reads at once.

    row: index of the text.
    ids: tokens of the piece.
    new: number of last tokens that are not in an earlier piece.
    ends: whether the text ends with this piece.
    """

    row: int
    ids: Sequence[int]
    new: int
    ends: bool


def pieces_of(row: int, ids: Sequence[int], window: int | None) -> list[Piece]:
    """Splits a text into consecutive full windows. The last one ends with the text and may overlap the previous one."""
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
    """One vector per text, (texts, width) float32 on the CPU, in their order; (0, 0) without texts.

    Texts of similar length are batched, padded on the right; padding does not affect the states of a causal model.
    Unless the model has an endless state, it reads texts longer than spec.max_length in windows.

    Args:
        model: a token model, in evaluation mode.
        texts: ids, at least one per text.
        pooling: `mean` over the states of all tokens, or the state of the `last` one.
        token_weights: (vocabulary,) positive weights of the tokens' states in a mean; default: equal weights.

    Raises:
        ValueError: a text has no ids, or the model has no linear head.
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
    """Groups pieces, sorted by length, into batches of at most TOKENS_AT_ONCE tokens with padding, or of one piece."""
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
    """The weighted sum of states of each piece, then the sum of weights: (batch, width + 1) float32."""
    device = next(model.parameters()).device
    ids, counts = padded(batch, pooling)
    if weights is not None and pooling == "mean":
        counts = counts * weights.cpu()[ids]
    ids, counts = ids.to(device), counts.to(device)
    model(ids)
    states = captured.pop().float()
    return torch.cat([(counts.unsqueeze(1) @ states).squeeze(1), counts.sum(1, keepdim=True)], dim=1)


def padded(batch: Sequence[Piece], pooling: Pooling) -> tuple[Tensor, Tensor]:
    """Ids (batch, time) int64, padded on the right with 0, and float32 weights of the states: 1 if pooled, else 0."""
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


def linear_head(model: SequenceModel) -> nn.Linear:
    """The layer that maps a model's states to logits.

    Raises:
        InputError: the model has no linear head.
    """
    head = getattr(model, "head", None) or getattr(model, "lm_head", None)
    if not isinstance(head, nn.Linear):
        raise InputError(f"{type(model).__name__} has no linear head whose inputs could serve as embeddings")
    return head


@contextmanager
def head_inputs(model: SequenceModel) -> Iterator[list[Tensor]]:
    """A context in which each call of the model appends the input of its head, (batch, time, width), to a list.

    The head gets zero steps instead, so its logits, which are larger than the states, are not computed.

    Raises:
        InputError: the model has no linear head.
    """
    captured: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        captured.append(inputs[0])
        return (inputs[0][:, :0],)

    handle = linear_head(model).register_forward_pre_hook(keep)
    try:
        yield captured
    finally:
        handle.remove()
