"""Perplexity, bits per character and bits per byte, over a whole text and never as a mean over batches."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqlab.metrics import Totals
from seqlab.model import SequenceModel, precise
from seqlab.proportion import Proportion

BLOCK = 500  # tokens; what an interval takes as one independent piece of text
Z = 1.959963984540054  # 95% of a normal distribution lie within so many standard deviations
CHUNK = 512  # tokens that a model with an endless state reads at once
WINDOWS_AT_ONCE = 16


class TokenScores(NamedTuple):
    """What a model makes of each id of a text but the first, (length - 1,) on the CPU.

    nats: -ln p of the id.
    correct: whether it is the most probable one.
    """

    nats: Tensor
    correct: Tensor


@torch.inference_mode()
def token_scores(model: SequenceModel, ids: Tensor, *, stride: int) -> TokenScores:
    """Each id of a text but the first, given all that a model can know of those before it.

    A model with an endless state reads the text once from end to end and carries its state. Any other reads windows
    of spec.max_length that start `stride` apart: the first counts whole, every later one for what is new in it, so that
    each token counts once and, but for the beginning, sees max_length - stride others at least.

    Args:
        model: a token model, in evaluation mode.
        ids: (length,) int64.
        stride: 1 .. spec.max_length; smaller is better for the model and slower.
    """
    weight = next(model.parameters())
    ids = ids.to(weight.device)
    pieces = _with_carried_state(model, ids) if model.endless_state else _in_windows(model, ids, stride)
    # written into one place: many small results between large temporaries would leave holes that nothing fits into
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
    """(logits, targets) piece by piece."""
    state = model.init_state(1)
    for inputs, targets in zip(ids[:-1].split(CHUNK), ids[1:].split(CHUNK), strict=True):
        logits, state = model.prefill(inputs.unsqueeze(0), state)
        yield logits[0], targets


def _in_windows(model: SequenceModel, ids: Tensor, stride: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(logits, targets) window by window, of what is new in each."""
    length = len(ids) - 1
    window = min(model.spec.max_length, length)
    starts = [*range(0, length - window, stride), length - window]  # the last window ends with the text: all are full
    told = 0
    for group in (starts[i : i + WINDOWS_AT_ONCE] for i in range(0, len(starts), WINDOWS_AT_ONCE)):
        logits = model(torch.stack([ids[start : start + window] for start in group]))
        for start, row in zip(group, logits, strict=True):
            yield row[told - start :], ids[told + 1 : start + window + 1]
            told = start + window


class TextMetrics(Totals):
    """Sums of nats, right tokens, tokens, characters and bytes, and what follows from them.

    loss = nats / tokens; perplexity = exp(loss); bits per character = nats / (ln 2 x characters), per byte likewise.
    Characters and bytes are those of the text: special tokens count none, but what they cost counts.

    >>> metrics = TextMetrics()
    >>> metrics.update(TokenScores(torch.full((3,), math.log(4)), torch.tensor([True, False, False])), ["abé"])
    >>> results = metrics.compute()
    >>> results.pop("accuracy")
    Proportion(hits=1, trials=3)
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
        """Count tokens and the texts that they stand for."""
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
        """accuracy (top 1, of tokens), loss, perplexity, bits_per_character, bits_per_byte."""
        sums = int(self.tokens), int(self.characters), int(self.bytes)
        accuracy = Proportion(int(self.correct), int(self.tokens))
        return {**text_results(float(self.nats), *sums), "accuracy": accuracy}

    def perplexity_interval(self) -> tuple[float, float] | None:
        """95% of a normal distribution around the loss, with the standard error of a ratio of sums over blocks of 500
        tokens (Cochran 1977, section 6.4), as perplexities; None for fewer than two blocks.

        It says how much other passages of such a text would differ, and nothing of another seed.
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
    """loss (nats a token), perplexity, bits_per_character and bits_per_byte from their sums.

    Raises:
        ValueError: for a text without characters.
    """
    if min(tokens, characters, num_bytes) < 1:
        raise ValueError(f"{tokens} tokens, {characters} characters, {num_bytes} bytes: nothing to measure")
    bits = nats / math.log(2)
    return {
        "loss": nats / tokens,
        "perplexity": math.exp(min(nats / tokens, 700.0)),  # beyond e^700 there is no float
        "bits_per_character": bits / characters,
        "bits_per_byte": bits / num_bytes,
    }
