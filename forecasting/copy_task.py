"""Training on the copy problem: how many of ten symbols are still known after `length` steps."""

import reprlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forecasting.copy_datamodule import CopyDataModule
from forecasting.long_memory import DELIMITER, NUM_COPIED, NUM_SYMBOLS, copy_trivial
from seqlab.errors import InputError
from seqlab.lit.module import Module, Results
from seqlab.metrics import Mean
from seqlab.schedule import Schedule
from seqlab.share import Share

NUM_WRITTEN = 50  # test sequences in completions.jsonl


class Copying(Module):
    """The ten symbols at the start of a sequence, written again at its end.

    Args:
        model: a token model.
        datamodule: the sequences.
        optimizer, schedule, seed: as in seqlab.lit.module.Module.
    """

    columns = MappingProxyType(
        {"cross-entropy": "test/loss", "symbols right": "test/symbols", "all ten right": "test/copied"}
    )
    better = MappingProxyType({"test/loss": "low", "test/symbols": "high", "test/copied": "high"})
    data: CopyDataModule

    def __init__(
        self,
        *,
        model: nn.Module,
        datamodule: CopyDataModule,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Schedule,
        seed: int,
    ):
        super().__init__(model=model, datamodule=datamodule, optimizer=optimizer, schedule=schedule, seed=seed)
        self.mean_loss = Mean()
        self.right: list[Tensor] = []

    def title(self) -> str:
        length = self.data.length
        return f"the copy problem, {NUM_COPIED} symbols over {length} steps; symbols drawn anew for every sequence"

    def loss(self, batch: Tensor) -> Tensor:
        """Cross-entropy in nats a step."""
        return cross_entropy(self.model(batch[:, 0]).flatten(0, 1), batch[:, 1].flatten())

    def _evaluation_step(self, batch: Tensor) -> None:
        logits = self.model(batch[:, 0])
        self.mean_loss.update(cross_entropy(logits.flatten(0, 1), batch[:, 1].flatten()), len(batch))
        self.right.append((logits.argmax(-1) == batch[:, 1])[:, -NUM_COPIED:].cpu())

    def _evaluation_results(self, stage: str) -> dict[str, Share | float]:
        right, loss = torch.cat(self.right), float(self.mean_loss.compute())
        self.right.clear()
        self.mean_loss.reset()
        return {
            f"{stage}/loss": loss,
            f"{stage}/symbols": Share(int(right.sum()), right.numel()),
            f"{stage}/copied": Share(int(right.all(1).sum()), len(right)),
        }

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_validation_epoch_end(self) -> None:
        self.log_results(self._evaluation_results("val"))

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self._evaluation_step(batch)

    def on_test_epoch_end(self) -> None:
        self.results = self._evaluation_results("test")

    def baselines(self) -> Mapping[str, Results]:
        """What is known without memory: blanks, and that each symbol is one of eight."""
        chance = 1 / NUM_SYMBOLS
        trivial = {"loss": copy_trivial(self.data.length), "symbols": chance, "copied": chance**NUM_COPIED}
        return {"no memory": {f"test/{name}": value for name, value in trivial.items()}}

    def examples(self) -> list[dict[str, Any]]:
        """Test sequences: the symbols, and what the model writes for them."""
        sequences = self.data.drawn("test", 0, NUM_WRITTEN)
        symbols = sequences[:, 0, :NUM_COPIED].tolist()
        written = self.written(sequences[:, 0]).tolist()
        return [{"set": "test", "symbols": s, "written": w} for s, w in zip(symbols, written, strict=True)]

    @torch.inference_mode()
    def written(self, inputs: Tensor) -> Tensor:
        """The ids that the model writes in the last ten steps of inputs (n, length + 20): (n, 10)."""
        was_training = self.model.training
        self.model.eval()  # the end of a test leaves the model as it was before: with dropout
        logits = self.model(inputs.to(self.device))[:, -NUM_COPIED:]
        self.model.train(was_training)
        return logits.argmax(-1).cpu()

    def parse_prompt(self, text: str) -> Tensor:
        """Ten symbols 1 .. 8 with blanks between, as the sequence that asks for them, (1, length + 20).

        Raises:
            InputError: for other words, or another number of them.
        """
        words = text.split()
        allowed = [str(symbol) for symbol in range(1, NUM_SYMBOLS + 1)]
        for word in words:
            if word not in allowed:
                raise InputError(f"{reprlib.repr(word)} is no symbol; allowed: 1 to {NUM_SYMBOLS}, blanks between")
        if len(words) != NUM_COPIED:
            raise InputError(f"{len(words)} symbols: exactly {NUM_COPIED} are needed")
        sequence = torch.zeros(1, self.data.spec.max_length, dtype=torch.int64)
        sequence[0, :NUM_COPIED] = torch.tensor([int(word) for word in words])
        sequence[0, -NUM_COPIED - 1] = DELIMITER
        return sequence

    def describe(self, prompt: Tensor) -> str:
        """What was to be copied, and what was written."""
        asked, written = prompt[0, :NUM_COPIED].tolist(), self.written(prompt)[0].tolist()
        return f"to copy     {' '.join(map(str, asked))}\nwritten     {' '.join(map(str, written))}"
