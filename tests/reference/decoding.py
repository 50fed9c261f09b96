"""Decoding the plain way: no state, the whole prefix read again for every token."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqlab.model import SequenceModel


def greedy_by_rereading(
    model: SequenceModel, prompt: Sequence[int], *, max_length: int, eos: int, pad: int
) -> tuple[list[int], bool]:
    """Complete one prompt; its max_length tokens, padded after EOS, and whether the model wrote EOS."""
    tokens = list(prompt)
    while True:
        token = int(model(torch.tensor([tokens]))[0, -1].argmax())
        full = len(tokens) == max_length
        if not full:
            tokens.append(token)
        if full or token == eos:
            return tokens + [pad] * (max_length - len(tokens)), token == eos


def sample_by_rereading(
    model: SequenceModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_length: int,
    eos: int,
    pad: int,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Sample completions of a batch; tokens (batch, max_length) and finished (batch,).

    From the end of the shortest prompt on, every position draws for every row, whether the row needs it or not, as
    long as one row goes on: so the generator is used up as in seqlab.decode.
    """
    rows = [list(prompt) for prompt in prompts]
    ended = [False] * len(rows)
    for position in range(min(map(len, rows)), max_length + 1):
        prefixes = torch.tensor([(row + [pad] * position)[:position] for row in rows])
        probabilities = torch.softmax(model(prefixes)[:, -1] / temperature, dim=1)
        draws = torch.multinomial(probabilities, 1, generator=generator)[:, 0].tolist()
        for index, (row, token) in enumerate(zip(rows, draws, strict=True)):
            if len(row) <= position and not ended[index]:
                row.append(token)
                ended[index] = token == eos
        if all(ended):
            break
    tokens = [(row + [pad] * max_length)[:max_length] for row in rows]
    return torch.tensor(tokens), torch.tensor(ended)
