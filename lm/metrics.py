"""Perplexity, bits per character and bits per byte, over a whole text instead of as a mean over batches."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqlab.metrics import Totals
from seqlab.model import SequenceModel, precise
from seqlab.proportion import Proportion

BLOCK = 500  # tokens; the interval treats blocks as independent
Z = 1.959963984540054  # 95% of a normal distribution is within this many standard deviations
CHUNK = 512  # tokens that a model with an endless state reads at once
WINDOWS_AT_ONCE = 16


class TokenScores(NamedTuple):
    """A model's scores of each id of a text but the first, (length - 1,) on the CPU.

    nats: -ln p of the id.
    correct: whether the id is the most probable one.
    """

    nats: Tensor
    correct: Tensor


@torch.inference_mode()
def token_scores(model: SequenceModel, ids: Tensor, *, stride: int) -> TokenScores:
    """Scores each id of a text but the first, given the ids before it.

    A model with an endless state reads the text once and carries its state. Any other model reads windows of
    spec.max_length that start `stride` apart. The first window counts completely, a later one only for its new tokens.
    So each token counts once and, except at the beginning, has at least max_length - stride tokens of context.

    Args:
        model: a token model, in evaluation mode.
        ids: (length,) int64.
        stride: 1 .. spec.max_length. Smaller values are slower and give more context.
    """
    weight = next(model.parameters())
    ids = ids.to(weight.device)
    pieces = _with_carried_state(model, ids) if model.endless_state else _in_windows(model, ids, stride)
    # preallocated: many small results between large temporaries would fragment the memory
    nats = ids.new_empty(len(ids) - 1, dtype=torch.promote_types(weight.dtype, torch.float32))
    correct = torch.empty_like(nats, dtype=torch.bool)
    start = 0
    for logits, targets in pieces:
        place = slice(start, start + len(targets))
        nats[place] = cross_entropy(precise(logits), targets, reduction="none")
        correct[place] = logits.argmax(-1) == targets
        start = place.stop
    return TokenScores(nats.cpu(), correct.cpu())


def _with_carried_state(model: SequenceModel, ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(logits, targets) for each chunk."""
    state = model.init_state(1)
    for inputs, targets in zip(ids[:-1].split(CHUNK), ids[1:].split(CHUNK), strict=True):
        logits, state = model.prefill(inputs.unsqueeze(0), state)
        yield logits[0], targets


def _in_windows(model: SequenceModel, ids: Tensor, stride: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(logits, targets) of the new tokens in each window."""
    length = len(ids) - 1
    window = min(model.spec.max_length, length)
    starts = [*range(0, length - window, stride), length - window]  # the last window ends with the text: all are full
    scored = 0
    for group in (starts[i : i + WINDOWS_AT_ONCE] for i in range(0, len(starts), WINDOWS_AT_ONCE)):
        logits = model(torch.stack([ids[start : start + window] for start in group]))
        for start, row in zip(group, logits, strict=True):
            yield row[scored - start :], ids[scored + 1 : start + window + 1]
            scored = start + window


class TextMetrics(Totals):
    """Loss, perplexity, bits per character, bits per byte and accuracy, from sums over a text.

    loss = nats / tokens; perplexity = exp(loss); bits per character = nats / (ln 2 x characters), per byte likewise.
    Characters and bytes are those of the text. Special tokens add none, but their nats count.

    >>> metrics = TextMetrics()
    >>> metrics.update(TokenScores(torch.full((3,), math.log(4)), torch.tensor([True, False, False])), ["abé"])
    >>> results = metrics.compute()
    >>> results.pop("accuracy")
    Proportion(hits=1, trials=3, effective=None)
    >>> {name: round(value, 4) for name, value in results.items()}
    {'loss': 1.3863, 'perplexity': 4.0, 'bits_per_character': 2.0, 'bits_per_byte': 1.5}
    """

    nats: Tensor
    moments: Tensor
    blocks: Tensor
    correct: Tensor
    tokens: Tensor
    characters: Tensor
    bytes: Tensor

    def __init__(self):
        super().__init__()
        self.add_state("nats", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        # over blocks: sums of nats^2, nats x tokens and tokens^2
        self.add_state("moments", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("blocks", "correct", "tokens", "characters", "bytes"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: TokenScores, texts: Iterable[str]) -> None:
        """Add the scores of tokens and the texts that they encode."""
        pieces = scores.nats.cpu().double().split(BLOCK)
        nats = torch.stack([piece.sum() for piece in pieces])
        tokens = torch.tensor([float(len(piece)) for piece in pieces], dtype=torch.float64)
        self.nats += nats.sum()
        self.moments += torch.stack([nats @ nats, nats @ tokens, tokens @ tokens])
        self.blocks += len(pieces)
        self.correct += scores.correct.cpu().sum()
        self.tokens += scores.nats.numel()
        for text in texts:
            self.characters += len(text)
            self.bytes += len(text.encode())

    def compute(self) -> dict[str, Proportion | float]:
        """loss, perplexity, bits_per_character, bits_per_byte, and accuracy (top 1, over tokens)."""
        sums = int(self.tokens), int(self.characters), int(self.bytes)
        accuracy = Proportion(int(self.correct), int(self.tokens))
        return {**text_results(float(self.nats), *sums), "accuracy": accuracy}

    def perplexity_interval(self) -> tuple[float, float] | None:
        """The 95% confidence interval of the perplexity, or None with fewer than two blocks of 500 tokens.

        It assumes a normal distribution of the loss. The standard error is that of a ratio of sums over blocks (Cochran
        1977, section 6.4). It covers the variation over passages of such a text, not over seeds.
        """
        blocks, tokens = int(self.blocks), int(self.tokens)
        if blocks < 2:
            return None
        loss = float(self.nats) / tokens
        squares, products, sizes = self.moments.tolist()
        variance = max(squares - 2 * loss * products + loss**2 * sizes, 0.0) * blocks / (blocks - 1) / tokens**2
        low, high = (math.exp(min(loss + sign * Z * math.sqrt(variance), 700.0)) for sign in (-1, 1))
        return low, high


def text_results(nats: float, tokens: int, characters: int, num_bytes: int) -> dict[str, float]:
    """loss (nats per token), perplexity, bits_per_character and bits_per_byte from sums over a text.

    Raises:
        ValueError: there are no tokens, characters or bytes.
    """
    if min(tokens, characters, num_bytes) < 1:
        raise ValueError(f"{tokens} tokens, {characters} characters, {num_bytes} bytes: nothing to measure")
    bits = nats / math.log(2)
    return {
        "loss": nats / tokens,
        "perplexity": math.exp(min(nats / tokens, 700.0)),  # e^710 overflows
        "bits_per_character": bits / characters,
        "bits_per_byte": bits / num_bytes,
    }
