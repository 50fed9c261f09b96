"""Decoding the plain way: no state, the whole prefix read again for every token; and a model that is known."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.model import SequenceModel
from seqlab.spec import Classes, Spec, Tokens


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
    long as one row continues: so the generator is used up as in seqlab.decode.
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


class Steps(NamedTuple):
    """Inputs read so far, (batch,) int64."""

    num_steps: Tensor


class Markov(SequenceModel):
    """Logits of the next token from a table, by the token before; counts its calls and what it reads."""

    def __init__(self, table: Tensor, *, eos: int = 1):
        size = len(table)
        super().__init__(Spec(Tokens(size), Classes(size), max_length=9, sos=0, eos=eos, pad=2))
        self.table = table
        self.num_calls = self.num_read = 0

    def init_state(self, batch: int, length: int | None = None) -> Steps:
        return Steps(torch.zeros(batch, dtype=torch.int64))

    def prefill(self, inputs: Tensor, state: Steps) -> tuple[Tensor, Steps]:
        self.num_calls += 1
        self.num_read += inputs.numel()
        return self.table[inputs], Steps(state.num_steps + inputs.shape[1])
