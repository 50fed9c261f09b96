"""The losses of the first 20 training steps of every model, small, on the strings of L5.

To write tests/golden/losses.json anew, after a change that means to change them:

    python -m tests.golden.make_losses
"""

import json
from pathlib import Path

import torch

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import token_loss
from seqlab.optim import adamw
from tests.small_models import MODELS, small_model

FILE = Path(__file__).with_name("losses.json")


def training_losses(name: str, num_steps: int = 20) -> list[float]:
    """Cross-entropy in nats before each step of AdamW, one thread, dropout as in the model's YAML."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = GrammarDataModule(grammar=Dyck(), max_length=16, batch_size=16, seed=1)
        model = small_model(name, data.spec, seed=1).train()
        optimizer = adamw(model, lr=0.01)
        losses = []
        for step in range(num_steps):
            strings = data.train_batch(step)
            loss, _, _ = token_loss(model(strings[:, :-1]), strings[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses
    finally:
        torch.set_num_threads(num_threads)


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: training_losses(name) for name in MODELS}, indent=2) + "\n")
    print(f"wrote {FILE}")
