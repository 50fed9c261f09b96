"""A training step (forward, loss, backward) of each model compared with its peer, and our trainer with a bare loop."""

import logging
import tempfile
import time
from pathlib import Path

import torch
from _timing import alternate, print_ratios
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import token_loss
from rule_extrapolation.task import RuleExtrapolation
from seqlab.lit.module import Module
from seqlab.lit.trainer import build_trainer
from seqlab.models.linear import Linear
from seqlab.models.lstm import LSTM
from seqlab.models.transformer import Transformer
from seqlab.optim import adamw
from seqlab.schedule import InverseSqrt


class EncoderPeer(nn.Module):
    """nn.TransformerEncoder of the same size, with the same embedding, dropout and causal mask."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 64)
        layer = nn.TransformerEncoderLayer(64, 8, 512, 0.1, batch_first=True, norm_first=True, layer_norm_eps=2e-4)
        self.encoder = nn.TransformerEncoder(layer, 6, nn.LayerNorm(64), enable_nested_tensor=False)
        self.head = nn.Linear(64, 7)
        self.dropout = nn.Dropout(0.1)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(33))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.dropout(self.embedding(tokens) * 8)
        return self.head(self.encoder(x, mask=self.mask, is_causal=True))


class LSTMPeer(nn.Module):
    """nn.LSTM with an embedding and a head."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 64)
        self.lstm = nn.LSTM(64, 256, 6, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(256, 7)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.dropout(self.lstm(self.embedding(tokens))[0]))


class EinsumPeer(nn.Module):
    """The published three-way einsum with a causal mask. It shares the parameters of our model."""

    def __init__(self, ours: Linear):
        super().__init__()
        self.ours = ours

    def forward(self, tokens: Tensor) -> Tensor:
        ours = self.ours
        product = torch.einsum("bsw,swtv,st->btv", ours.embedding(tokens), ours.weight_SCTV, ours.mask_ST)
        return product + ours.bias_TV


def step(model: nn.Module, batch: Tensor) -> None:
    model.zero_grad(set_to_none=True)
    token_loss(model(batch[:, :-1]), batch[:, 1:])[0].backward()


class Clock(Callback):
    """Measures the time from the start of the first step to the end of the last, without setup and teardown."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Tensor, batch_idx: int) -> None:
        if batch_idx == 0:
            self.started = time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.ended = time.perf_counter()


def bare_loop(data: GrammarDataModule, num_steps: int) -> float:
    """Seconds of `num_steps` optimizer steps in a plain loop."""
    torch.manual_seed(0)
    model = Transformer(data.spec, num_layers=2)
    optimizer = adamw(model, lr=1e-3)
    started = time.perf_counter()
    for index in range(num_steps):
        batch = data.train_batch(index)
        loss = token_loss(model(batch[:, :-1]), batch[:, 1:])[0]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - started


def shared_module(data: GrammarDataModule, num_steps: int) -> float:
    """Seconds of `num_steps` steps with the shared module, trainer and callbacks, and a CSV logger."""
    module = Module(
        model=Transformer(data.spec, num_layers=2),
        task=RuleExtrapolation(data),
        optimizer=lambda model: adamw(model, lr=1e-3),
        schedule=InverseSqrt(warmup=100),
        seed=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        # validation is not overhead: these steps contain none
        trainer = build_trainer(run_dir=Path(folder), loggers=[CSVLogger(folder)], max_steps=num_steps, val_every=10**6)
        trainer.callbacks.append(clock)  # type: ignore[attr-defined]
        trainer.fit(module, datamodule=data)
        return clock.ended - clock.started


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    data = GrammarDataModule(grammar=Dyck())
    batch = data.train_batch(0)
    linear = Linear(data.spec)
    pairs = (
        ("linear, against the three-way einsum", EinsumPeer(linear), linear, 1.4),
        ("transformer, against nn.TransformerEncoder", EncoderPeer(), Transformer(data.spec), 1.0),
        ("lstm, against nn.LSTM", LSTMPeer(), LSTM(data.spec), 0.95),
    )
    assert torch.allclose(pairs[0][1](batch[:, :-1]), linear(batch[:, :-1]), atol=1e-5)
    rows = []
    for name, peer, ours, aim in pairs:
        times = alternate(lambda m=peer: step(m, batch), lambda m=ours: step(m, batch))
        rows.append((name, *times, aim))
    for batch_size, num_steps in ((8, 200), (32, 60)):
        data = GrammarDataModule(grammar=Dyck(), batch_size=batch_size)
        pairs = [(bare_loop(data, num_steps), shared_module(data, num_steps)) for _ in range(5)]
        bare, shared = sorted(pairs, key=lambda pair: pair[0] / pair[1])[2]
        name = f"shared module, against a bare loop, 2 layers, batch {batch_size}"
        rows.append((name, bare / num_steps, shared / num_steps, 0.91))
    print_ratios(f"training step, batch 128 x 33 unless said, {torch.get_num_threads()} threads", rows)


if __name__ == "__main__":
    main()
