"""Perplexity, bits per character and bits per byte, over a whole text and never as a mean over batches."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import Metric

from seqlab.model import SequenceModel

CHUNK = 512  # tokens that a model with an endless state reads at once
WINDOWS_AT_ONCE = 16


@torch.inference_mode()
def token_nats(model: SequenceModel, ids: Tensor, *, stride: int) -> Tensor:
    """-ln p of each id but the first, given all that a model can know of those before it: (len(ids) - 1,) on the CPU.

    A model with an endless state reads the text once from end to end and carries its state. Any other reads windows
    of spec.max_length that start `stride` apart: the first counts whole, every later one for what is new in it, so that
    each token counts once and, but for the beginning, sees max_length - stride others at least.

    Args:
        model: a token model, in evaluation mode.
        ids: (length,) int64.
        stride: 1 .. spec.max_length; smaller is better for the model and slower.
    """
    device = next(model.parameters()).device
    if model.endless_state:
        return _with_carried_state(model, ids.to(device)).cpu()
    return _in_windows(model, ids.to(device), stride).cpu()


def _with_carried_state(model: SequenceModel, ids: Tensor) -> Tensor:
    state, nats = model.init_state(1), []
    for inputs, targets in zip(ids[:-1].split(CHUNK), ids[1:].split(CHUNK), strict=True):
        logits, state = model.prefill(inputs.unsqueeze(0), state)
        nats.append(cross_entropy(logits[0].float(), targets, reduction="none"))
    return torch.cat(nats)


def _in_windows(model: SequenceModel, ids: Tensor, stride: int) -> Tensor:
    length, window = len(ids) - 1, model.spec.max_length
    if length <= window:
        return cross_entropy(model(ids[None, :-1])[0].float(), ids[1:], reduction="none")
    # the last window ends with the text, so that all are full
    starts = [*range(0, length - window, stride), length - window]
    nats, told = torch.empty(length, device=ids.device), 0
    for group in (starts[i : i + WINDOWS_AT_ONCE] for i in range(0, len(starts), WINDOWS_AT_ONCE)):
        logits = model(torch.stack([ids[start : start + window] for start in group]))
        for start, row in zip(group, logits, strict=True):
            new = slice(told, start + window)
            nats[new] = cross_entropy(row[told - start :].float(), ids[told + 1 : start + window + 1], reduction="none")
            told = start + window
    return nats


class TextMetrics(Metric):
    """Sums of nats, tokens, characters and bytes, and what follows from them.

    perplexity = exp(nats / tokens); bits per character = nats / (ln 2 x characters), per byte likewise. Characters and
    bytes are those of the text: special tokens count none, but what they cost counts.

    >>> metrics = TextMetrics()
    >>> metrics.update(torch.full((3,), math.log(4)), ["abé"])
    >>> {name: round(value, 4) for name, value in metrics.compute().items()}
    {'perplexity': 4.0, 'bits_per_character': 2.0, 'bits_per_byte': 1.5}
    """

    full_state_update = False

    nats: Tensor
    tokens: Tensor
    characters: Tensor
    bytes: Tensor

    def __init__(self):
        super().__init__()
        self.add_state("nats", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("tokens", "characters", "bytes"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, nats: Tensor, texts: Iterable[str]) -> None:
        """Count the nats (n,) of n tokens and the texts that they stand for."""
        self.nats += nats.double().sum().to(self.nats.device)
        self.tokens += nats.numel()
        for text in texts:
            self.characters += len(text)
            self.bytes += len(text.encode())

    def compute(self) -> dict[str, float]:
        """perplexity, bits_per_character, bits_per_byte."""
        return text_results(float(self.nats), int(self.tokens), int(self.characters), int(self.bytes))


def text_results(nats: float, tokens: int, characters: int, num_bytes: int) -> dict[str, float]:
    """The three numbers from their sums.

    Raises:
        ValueError: for a text without characters.
    """
    if min(tokens, characters, num_bytes) < 1:
        raise ValueError(f"{tokens} tokens, {characters} characters, {num_bytes} bytes: nothing to measure")
    bits = nats / math.log(2)
    return {
        "perplexity": math.exp(min(nats / tokens, 700.0)),  # beyond e^700 there is no float
        "bits_per_character": bits / characters,
        "bits_per_byte": bits / num_bytes,
    }
