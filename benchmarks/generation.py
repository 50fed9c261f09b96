"""Text generation with state or key/value cache, compared with re-running the prefix: 8 rows, up to 128 tokens.

The peer is our own forward pass over the whole prefix for each token, in plain torch. The models have the sizes for
data=text and are untrained, because the generated text does not affect the time.
"""

from itertools import islice

import torch
from _timing import alternate, print_ratios
from torch import Tensor

from seqlab.decode import continuation
from seqlab.model import SequenceModel
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.spec import Classes, Spec, Tokens

VOCABULARY, CONTEXT = 2000, 128
SPEC = Spec(Tokens(VOCABULARY), Classes(VOCABULARY), max_length=CONTEXT)
BATCH, REPEATS = 8, 3


def greedy(logits: Tensor) -> Tensor:
    return logits.argmax(-1)


@torch.inference_mode()
def rerun(model: SequenceModel, prompt: Tensor) -> Tensor:
    tokens = prompt
    while tokens.shape[1] < CONTEXT:
        tokens = torch.cat([tokens, greedy(model(tokens)[:, -1])[:, None]], 1)
    return tokens


@torch.inference_mode()
def with_state(model: SequenceModel, prompt: Tensor) -> Tensor:
    hop = None if model.endless_state else CONTEXT // 2
    new = islice(continuation(model, prompt, choose=greedy, hop=hop), CONTEXT - prompt.shape[1])
    return torch.cat([prompt, *(token[:, None] for token in new)], 1)


def main() -> None:
    torch.manual_seed(0)
    prompt = torch.randint(VOCABULARY, (BATCH, 1))
    models: dict[str, SequenceModel] = {
        "lstm": LSTM(SPEC, d_model=256, hidden_dim=256, num_layers=2),
        "transformer": Transformer(SPEC, d_model=256, num_layers=3, num_heads=4, ff_dim=512),
    }
    peers: dict[str, SequenceModel] = {
        "lstm": models["lstm"],
        "transformer": Transformer(SPEC, d_model=256, num_layers=3, num_heads=4, ff_dim=512, backend="torch"),
    }
    rows = []
    for name, model in models.items():
        model.eval()
        peers[name].eval()

        def peer(model: SequenceModel = peers[name]) -> Tensor:
            return rerun(model, prompt)

        def ours(model: SequenceModel = model) -> Tensor:
            return with_state(model, prompt)

        rows.append((name, *alternate(peer, ours, repeats=REPEATS), 10))
    print_ratios(f"{BATCH} rows to {CONTEXT} tokens, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
