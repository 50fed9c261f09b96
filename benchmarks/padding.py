"""A training step without work on padding, in plain torch, compared with the padded batch.

Rows of similar length are cut to it and read together (seqlab/ragged.py). `linear` is left out: it reads the weights of
all steps for any part. A step is forward, loss, backward, clipping and AdamW.
"""

import torch
from _timing import in_turns, print_turns
from torch import Tensor, nn

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import model_loss, token_loss
from seqlab.model import SequenceModel
from seqlab.models.lstm import LSTM
from seqlab.models.mamba import Mamba
from seqlab.models.transformer import Transformer
from seqlab.models.xlstm import XLSTM
from seqlab.optim import adamw


def compare(name: str, model: SequenceModel, batch: Tensor, aim: float, repeats: int) -> None:
    """Time steps on the padded and on the cut batch, which have the same gradients."""
    optimizer = adamw(model, lr=1e-5)

    def gradients(cut: bool) -> None:
        optimizer.zero_grad()
        loss = model_loss(model, batch)[0] if cut else token_loss(model(batch[:, :-1]), batch[:, 1:])[0]
        loss.backward()

    def step(cut: bool) -> None:
        gradients(cut)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    found = []
    model.eval()
    for cut in (False, True):
        gradients(cut)
        found.append(
            torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
        )
    model.train()
    error = (found[1] - found[0]).norm() / found[0].norm()
    times = in_turns({"padded": lambda: step(False), "cut by length": lambda: step(True)}, repeats=repeats)
    print_turns(f"{name}, batch {len(batch)} x {batch.shape[1] - 1}", times, {"cut by length": aim})
    print(f"relative difference of the gradients {error:.0e}")


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = GrammarDataModule(grammar=Dyck())
    batch = data.train_batch(0)
    compare("transformer", Transformer(data.spec, backend="torch"), batch, 1.5, 5)
    compare("lstm", LSTM(data.spec), batch, 1.5, 5)
    compare("xlstm", XLSTM(data.spec), batch, 1.3, 5)
    compare("mamba", Mamba(data.spec), batch, 1.25, 5)
    data = GrammarDataModule(grammar=Dyck(), max_length=256)
    compare("transformer", Transformer(data.spec, backend="torch"), data.train_batch(0), 2.5, 1)


if __name__ == "__main__":
    main()
