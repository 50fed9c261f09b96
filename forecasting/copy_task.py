"""The task of the copy problem: how many of ten symbols a model remembers over `length` steps."""

import reprlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from forecasting.copy_datamodule import CopyDataModule
from forecasting.long_memory import DELIMITER, NUM_COPIED, NUM_SYMBOLS, copy_trivial
from seqlab.answers import GREEDY, Answer, Fault, Sampling, Steps
from seqlab.errors import InputError
from seqlab.metrics import Mean
from seqlab.model import SequenceModel, device_of, evaluating, precise
from seqlab.proportion import Proportion
from seqlab.task import PREDICTIONS_SHOWN, Results, Split, Task, Watched, predictions_line

NUM_WRITTEN = 50  # test sequences in predictions.jsonl


class Copying(Task[CopyDataModule, SequenceModel]):
    """Outputs the ten symbols at the start of a sequence again at its end.

    Args:
        datamodule: the sequences.
    """

    columns = MappingProxyType(
        {"cross-entropy": "test/loss", "symbols right": "test/symbols", "all ten right": "test/copied"}
    )
    better = MappingProxyType({"test/loss": "low", "test/symbols": "high", "test/copied": "high"})

    def title(self) -> str:
        length = self.data.length
        return f"the copy problem, {NUM_COPIED} symbols over {length} steps; new random symbols for every sequence"

    def loss(self, model: SequenceModel, batch: Tensor) -> Tensor:
        """Cross-entropy in nats per step."""
        return cross_entropy(model(batch[:, 0]).flatten(0, 1), batch[:, 1].flatten())

    def evaluate(self, model: SequenceModel, split: Split) -> Results:
        """The loss, and the proportions of symbols and of whole sequences that are copied correctly."""
        loss, right = Mean(), []
        with evaluating(model):
            for batch in self.batches(model, split):
                logits = model(batch[:, 0])
                loss.update(cross_entropy(logits.flatten(0, 1), batch[:, 1].flatten()), len(batch))
                right.append((logits.argmax(-1) == batch[:, 1])[:, -NUM_COPIED:].cpu())
        symbols = torch.cat(right)
        return {
            f"{split}/loss": loss.compute(),
            f"{split}/symbols": Proportion.of(symbols),
            f"{split}/copied": Proportion.of(symbols.all(1)),
        }

    def baselines(self) -> Mapping[str, Results]:
        """The best results without memory: blanks are certain, and each symbol is a guess among eight."""
        chance = 1 / NUM_SYMBOLS
        trivial = {"loss": copy_trivial(self.data.length), "symbols": chance, "copied": chance**NUM_COPIED}
        return {"no memory": {f"test/{name}": value for name, value in trivial.items()}}

    def examples(self, model: SequenceModel) -> list[dict[str, Any]]:
        """Test sequences: the symbols and the model's outputs for them."""
        sequences = self.data.drawn("test", 0, NUM_WRITTEN)
        symbols = sequences[:, 0, :NUM_COPIED].tolist()
        written = self.written(model, sequences[:, 0]).tolist()
        return [{"set": "test", "symbols": s, "written": w} for s, w in zip(symbols, written, strict=True)]

    def watch(self, model: SequenceModel) -> Watched:
        inputs = self.data.drawn("val", 0, PREDICTIONS_SHOWN)[:, 0]
        pairs = zip(inputs[:, :NUM_COPIED].tolist(), self.written(model, inputs).tolist(), strict=True)
        rows = [(" ".join(map(str, asked)), " ".join(map(str, said)), "") for asked, said in pairs]
        return Watched(self.evaluate(model, "val"), {}, predictions_line(rows))

    def written(self, model: SequenceModel, inputs: Tensor) -> Tensor:
        """The most probable ids in the last ten steps, for inputs (n, length + 20): (n, 10) int64."""
        with evaluating(model):
            return model(inputs.to(device_of(model)))[:, -NUM_COPIED:].argmax(-1).cpu()

    def sample_prompt(self) -> str:
        """Ten symbols."""
        return "1 2 3 4 5 6 7 8 1 2"

    def parse_prompt(self, text: str) -> Tensor:
        """Parse ten symbols 1 .. 8 separated by spaces into an input sequence, (1, length + 20) int64.

        Raises:
            InputError: a word is not a symbol, or there are not ten.
        """
        words = text.split()
        allowed = [str(symbol) for symbol in range(1, NUM_SYMBOLS + 1)]
        for word in words:
            if word not in allowed:
                raise InputError(
                    f"{reprlib.repr(word)} is not a symbol; allowed: 1 to {NUM_SYMBOLS}, separated by spaces"
                )
        if len(words) != NUM_COPIED:
            raise InputError(f"{len(words)} symbols: exactly {NUM_COPIED} are needed")
        sequence = torch.zeros(1, self.data.spec.max_length, dtype=torch.int64)
        sequence[0, :NUM_COPIED] = torch.tensor([int(word) for word in words])
        sequence[0, -NUM_COPIED - 1] = DELIMITER
        return sequence

    def describe(self, model: SequenceModel, prompt: Tensor) -> str:
        """The symbols to copy and the model's output, as text."""
        asked, written = prompt[0, :NUM_COPIED].tolist(), self.written(model, prompt)[0].tolist()
        return f"to copy     {' '.join(map(str, asked))}\nwritten     {' '.join(map(str, written))}"

    def _logits(self, model: SequenceModel, prompt: Tensor) -> Tensor:
        """Of the last ten steps, (10, 10)."""
        with evaluating(model):
            return precise(model(prompt.to(device_of(model)))[0, -NUM_COPIED:]).cpu()

    def steps(self, model: SequenceModel, prompt: Tensor) -> Steps:
        """The probability of each id in the last ten steps."""
        probabilities = self._logits(model, prompt).softmax(-1)
        names = ["(blank)", *map(str, range(1, NUM_SYMBOLS + 1)), "(delimiter)"]
        places = [f"symbol {place}" for place in range(1, NUM_COPIED + 1)]
        return Steps(places, names[: probabilities.shape[1]], probabilities)

    def answers(self, model: SequenceModel, prompt: Tensor, sampling: Sampling = GREEDY) -> list[Answer]:
        """The last ten steps, marked where they are not the symbols to copy."""
        logits = self._logits(model, prompt)
        choose = sampling.chooser(prompt.tolist())
        written = torch.stack([choose(row.expand(sampling.number, -1)) for row in logits], 1)
        asked = prompt[0, :NUM_COPIED].tolist()
        return [
            Answer(
                list(map(str, asked)),
                list(map(str, row)),
                faults=[Fault(NUM_COPIED + i, f"right: {asked[i]}") for i in range(NUM_COPIED) if row[i] != asked[i]],
            )
            for row in written.tolist()
        ]

    def best(self, prompt: Tensor) -> str:
        """The symbols to copy."""
        return " ".join(map(str, prompt[0, :NUM_COPIED].tolist()))
