"""Re-ranking by likelihood: how much more probable a query makes the beginning of a document than other contexts do.

The score is the sum over the document's first tokens of log p(token | query, tokens before), less its mean over fixed
contexts. The mean takes away what makes a beginning probable anywhere. It is query likelihood (Ponte & Croft 1998)
turned round: here the document continues the query.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lm.continuation import padded, query_ids, window_of
from lm.vectors import Encode
from seqlab.model import SequenceModel, State, device_of, evaluating

ROWS_AT_ONCE = 512
NUM_CONTEXTS = 8  # over which the mean is taken


def log_likelihoods(model: SequenceModel, context: Sequence[int], documents: Sequence[Sequence[int]]) -> Tensor:
    """log p of the first tokens of each document after a context, in nats: (documents,) float32 on the CPU.

    Args:
        model: a token model.
        context: ids, at least one; the last 32 are read.
        documents: ids, at least one each; the first 12 are read.
    """
    before, after = window_of(model)
    device = device_of(model)
    read = torch.as_tensor(context[-before:], dtype=torch.int64, device=device).unsqueeze(0)
    parts = [torch.empty(0)]
    with evaluating(model):
        logits, state = model.prefill(read, model.init_state(1, before + after))
        for start in range(0, len(documents), ROWS_AT_ONCE):
            ids, real = padded([row[:after] for row in documents[start : start + ROWS_AT_ONCE]], device)
            every = logits[:, -1:].expand(len(ids), -1, -1)
            if ids.shape[1] > 1:
                following, _ = model.prefill(ids[:, :-1], repeated(state, len(ids)))
                every = torch.cat([every, following], 1)
            every = every.float()
            chosen = every.gather(2, ids.unsqueeze(2)).squeeze(2) - every.logsumexp(2)
            parts.append((chosen * real).sum(1).cpu())
    return torch.cat(parts)


def usual(model: SequenceModel, contexts: Sequence[Sequence[int]], documents: Sequence[Sequence[int]]) -> Tensor:
    """The mean of `log_likelihoods` over contexts: (documents,) float32 on the CPU."""
    return torch.stack([log_likelihoods(model, context, documents) for context in contexts]).mean(0)


def contexts_of(encode: Encode, texts: Sequence[str]) -> list[Sequence[int]]:
    """The ends of 8 of the texts, evenly spaced among those with words, as contexts of `usual`."""
    said = [text for text in texts if text.split()]
    return [query_ids(encode, text) for text in said[:: max(1, len(said) // NUM_CONTEXTS)][:NUM_CONTEXTS]]


def repeated(state: State, rows: int) -> State:
    """The state of one row, copied for `rows` rows."""
    if isinstance(state, Tensor):
        return state.repeat_interleave(rows, 0)
    return type(state)(*(repeated(part, rows) for part in state))
