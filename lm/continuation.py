"""A continuation embedding: where a language model's state after a query points, there texts begin that continue it.

The query is a linear map of the last state over its last 32 tokens. The document is a linear map of the vectors of its
first 12 tokens, weighted by .75^i, and of the state at the last of them. Both are tuned with the model by contrast
(InfoNCE, van den Oord et al. 2018), on texts cut anywhere: of the beginnings in a batch, each query must find the one
that follows it. What a language model knows is what comes next, so it helps beside a ranker that compares words; alone
it ranks badly (docs/results/text).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from lm.contrastive import contrastive_loss
from lm.embed import head_inputs, linear_head
from lm.vectors import Encode
from seqlab.errors import InputError
from seqlab.model import SequenceModel, device_of, evaluating
from seqlab.randomness import derived_seed

WIDTH = 256
QUERY_TOKENS = 32
DOCUMENT_TOKENS = 12
DECAY = 0.75  # of the weights of a document's tokens
BATCH_SIZE = 256
STEPS = 150
FEWEST_BEFORE, FEWEST_AFTER = 8, 6  # tokens of a text before and after a cut
TEXTS_AT_ONCE = 256


class Continuation(nn.Module):
    """A language model with the maps of its queries and documents to unit vectors of WIDTH.

    Args:
        model: a token model with a linear head, whose rows are the vectors of the tokens.

    Raises:
        InputError: the model has no linear head.
    """

    def __init__(self, model: SequenceModel):
        super().__init__()
        self.model = model
        width = linear_head(model).in_features
        self.of_query = nn.Linear(width, WIDTH)
        self.of_document = nn.Linear(2 * width, WIDTH)
        self.log_scale = nn.Parameter(torch.tensor(14.0).log())
        nn.init.eye_(self.of_query.weight)
        with torch.no_grad():  # a query begins where the model predicts the tokens of its document
            nn.init.eye_(self.of_document.weight[:, :width]).mul_(0.3)
        self.to(device_of(model))

    @property
    def lengths(self) -> tuple[int, int]:
        """How many tokens of a query and of a document are read: 32 and 12, or what fits the model's window."""
        return window_of(self.model)

    def query(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Unit vectors (rows, WIDTH) of queries, given as ids."""
        states, _, real = self._read([row[-self.lengths[0] :] for row in rows])
        return normalize(self.of_query(at_end(states, real)), dim=1)

    def document(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Unit vectors (rows, WIDTH) of documents, given as ids."""
        states, ids, real = self._read([row[: self.lengths[1]] for row in rows])
        weights = DECAY ** torch.arange(ids.shape[1], device=ids.device) * real
        weights = weights / weights.sum(1, keepdim=True)
        tokens = (weights.unsqueeze(1) @ linear_head(self.model).weight[ids].float()).squeeze(1)
        return normalize(self.of_document(torch.cat([tokens, at_end(states, real)], 1)), dim=1)

    def _read(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
        ids, real = padded(rows, device_of(self.model))
        with head_inputs(self.model) as captured:
            self.model(ids)
        return captured.pop().float(), ids, real


def window_of(model: SequenceModel) -> tuple[int, int]:
    """How many tokens before a cut and after it a model reads: 32 and 12, or fewer where its window is shorter."""
    if model.endless_state:
        return QUERY_TOKENS, DOCUMENT_TOKENS
    after = min(DOCUMENT_TOKENS, model.spec.max_length // 2)
    return min(QUERY_TOKENS, model.spec.max_length - after), after


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (rows, time) int64, padded on the right with 0, and which are real, (rows, time) bool."""
    ids = pad_sequence([torch.as_tensor(row, dtype=torch.int64) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return ids.to(device), (torch.arange(ids.shape[1]) < lengths[:, None]).to(device)


def at_end(states: Tensor, real: Tensor) -> Tensor:
    """The states at the last real step, (batch, width), of states (batch, time, width)."""
    return states[torch.arange(len(states)), real.sum(1) - 1]


def query_ids(encode: Encode, text: str) -> Sequence[int]:
    """The ids of the last words of a text, its white space made single spaces.

    Raises:
        InputError: the text has no words.
    """
    return _ids(encode, text.split()[-QUERY_TOKENS:])


def document_ids(encode: Encode, text: str) -> Sequence[int]:
    """The ids of the first words of a text, its white space made single spaces.

    Raises:
        InputError: the text has no words.
    """
    return _ids(encode, text.split()[:DOCUMENT_TOKENS])


def _ids(encode: Encode, words: Sequence[str]) -> Sequence[int]:
    if not words:
        raise InputError("a text without words: nothing to embed")
    return encode(" " + " ".join(words))  # each word has a token or more, and in the midst of a text a space before it


def embedded(continuation: Continuation, encode: Encode, texts: Sequence[str], *, queries: bool = False) -> np.ndarray:
    """Unit vectors of texts as documents, or as queries: (texts, WIDTH) float32.

    Raises:
        InputError: a text has no words.
    """
    read, ids = (continuation.query, query_ids) if queries else (continuation.document, document_ids)
    parts = [np.empty((0, WIDTH), np.float32)]
    with evaluating(continuation):
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            rows = [ids(encode, text) for text in texts[start : start + TEXTS_AT_ONCE]]
            parts.append(read(rows).cpu().numpy())
    return np.concatenate(parts)


def tune(
    model: SequenceModel, encode: Encode, texts: Sequence[str], *, steps: int = STEPS, seed: int = 1
) -> tuple[Continuation, list[float]]:
    """Tune a model in place. Returns it with its maps, in evaluation mode, and the loss of each step in nats.

    Args:
        model: a token model with a linear head.
        encode: text to ids.
        texts: texts to cut; those of fewer than 14 tokens are left out.
        steps: number of batches of 256 cuts.
        seed: seed of the maps, of the cuts and of dropout.

    Raises:
        InputError: fewer than two texts are long enough.
    """
    rows = [encode(" " + " ".join(text.split())) for text in texts]
    rows = [row for row in rows if len(row) >= FEWEST_BEFORE + FEWEST_AFTER]
    if len(rows) < 2:
        raise InputError(
            f"{len(rows)} texts of {FEWEST_BEFORE + FEWEST_AFTER} tokens or more to tune on: at least two are needed"
        )
    lengths = np.array([len(row) for row in rows], float)
    torch.manual_seed(derived_seed(seed, "continuation"))  # for the maps and for dropout
    tuned = Continuation(model)
    own = [*tuned.of_query.parameters(), *tuned.of_document.parameters(), tuned.log_scale]
    optimizer = torch.optim.AdamW([{"params": [*model.parameters()], "lr": 1e-3}, {"params": own, "lr": 3e-3}])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / steps) + 0.02))
    losses = []
    tuned.train()
    for step in range(steps):
        cuts = cut(rows, lengths, np.random.default_rng(derived_seed(seed, "cuts", step)), tuned.lengths)
        loss = contrastive_loss(tuned.query(cuts[0]), tuned.document(cuts[1]), tuned.log_scale.exp())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return tuned.eval(), losses


def cut(
    rows: Sequence[Sequence[int]], lengths: np.ndarray, generator: np.random.Generator, window: tuple[int, int]
) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    """A batch of pieces before a cut, and of those after it. Long texts are cut more often, anywhere.

    Args:
        rows: texts as ids, of 14 or more.
        lengths: (rows,) their numbers of ids, float.
        generator: where the cuts come from.
        window: the most ids of a piece before and after a cut.
    """
    before, after = [], []
    for index in generator.choice(len(rows), BATCH_SIZE, p=lengths / lengths.sum()):
        row = rows[index]
        place = int(generator.integers(FEWEST_BEFORE, len(row) - FEWEST_AFTER + 1))
        before.append(row[max(0, place - window[0]) : place])
        after.append(row[place : place + window[1]])
    return before, after
