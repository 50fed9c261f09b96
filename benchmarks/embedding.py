"""Embedding eight short texts padded to the longest one, compared with padding to 512 tokens.

The peer runs the same model on a batch (8, 512) and computes the same means. The ratio is the cost of a fixed length.
"""

import torch
from _timing import alternate, print_ratios
from torch import Tensor

from lm.embed import embed
from seqlab.model import SequenceModel
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.spec import Classes, Spec, Tokens

SPEC = Spec(Tokens(2000), Classes(2000), max_length=512)
LENGTHS = (5, 7, 8, 10, 12, 13, 15, 16)
FIXED = 512


@torch.inference_mode()
def padded_to_512(model: SequenceModel, ids: Tensor, counts: Tensor) -> Tensor:
    states: list[Tensor] = []
    head = model.get_submodule("head")
    handle = head.register_forward_pre_hook(lambda _, inputs: (states.append(inputs[0]), (inputs[0][:, :0],))[1])
    model(ids)
    handle.remove()
    return (counts.unsqueeze(1) @ states[0]).squeeze(1) / counts.sum(1, keepdim=True)


def main() -> None:
    torch.manual_seed(0)
    texts = [torch.randint(2000, (length,)).tolist() for length in LENGTHS]
    ids, counts = torch.zeros(len(texts), FIXED, dtype=torch.int64), torch.zeros(len(texts), FIXED)
    for row, text in enumerate(texts):
        ids[row, : len(text)], counts[row, : len(text)] = torch.tensor(text), 1.0
    rows = []
    for name, model in (
        ("transformer", Transformer(SPEC, d_model=256, num_layers=4, ff_dim=1024).eval()),
        ("lstm", LSTM(SPEC, d_model=256, hidden_dim=512, num_layers=2).eval()),
    ):

        def peer(model: SequenceModel = model) -> Tensor:
            return padded_to_512(model, ids, counts)

        def ours(model: SequenceModel = model) -> Tensor:
            return embed(model, texts)

        torch.testing.assert_close(ours(), peer(), rtol=1e-4, atol=1e-5)
        rows.append((f"{name}, 8 texts of 5 to 16 tokens", *alternate(peer, ours), 10))
    print_ratios(f"embedding, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
