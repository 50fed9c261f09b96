"""A data set from a CSV file, a sequence and its label in each row. Its data module and its task."""

import reprlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, MinLen
from torch import Tensor
from torch.nn.functional import cross_entropy

from forecasting.csv_file import read_csv
from forecasting.series import own_file
from seqlab.answers import quoted
from seqlab.errors import InputError
from seqlab.kept import Fitted
from seqlab.lit.datamodule import DataModule, EpochStream
from seqlab.metrics import Mean
from seqlab.model import SequenceModel, device_of, evaluating
from seqlab.proportion import Proportion
from seqlab.randomness import derived_seed
from seqlab.spec import Classes, Spec, Tokens
from seqlab.task import Results, Split, Task

Part = Literal["train", "val", "test"]


class Labelled(NamedTuple):
    """Rows: ids (rows, longest) with 0 behind the end, lengths (rows,) and labels (rows,), all int64."""

    ids: Tensor
    lengths: Tensor
    labels: Tensor


class LabelledFit(Fitted):
    """What a trained model needs of the file, so that its checkpoint works without it.

    symbols: those of the training rows, with ids from 1; 0 is every other symbol. labels: with ids from 0.
    longest: symbols in the longest row.
    """

    symbols: Annotated[list[str], MinLen(1)]
    labels: Annotated[list[str], MinLen(2)]
    longest: Annotated[int, Ge(1)]


class LabelledDataModule(DataModule):
    """Rows of a CSV file with the columns `sequence` (symbols with blanks between) and `label`; training in epochs.

    A hash of the sequence puts it into training (8 of 10), validation or test, whatever the seed: a sequence that
    stands there twice is in one of them.
    """

    fitted_type = LabelledFit

    def __init__(self, *, csv: str | None, seed: int, batch_size: Annotated[int, Ge(1)] = 32):
        super().__init__()
        if csv is None:
            raise InputError("data=labelled needs data.csv=FILE")
        self.csv, self.seed, self.batch_size = csv, seed, batch_size

    def data_files(self) -> Mapping[str, Path]:
        return own_file(self.csv)

    @cached_property
    def rows(self) -> dict[Part, list[tuple[list[str], str]]]:
        """Symbols and label of each row, by part. The file is read here, when it is first needed."""
        self.refuse_changed_files()
        parts: dict[Part, list[tuple[list[str], str]]] = {"train": [], "val": [], "test": []}
        for words, label in labelled_rows(self.csv):
            tenth = derived_seed(*words) % 10
            parts["train" if tenth < 8 else "val" if tenth == 8 else "test"].append((words, label))
        for part, rows in parts.items():
            if not rows:
                raise InputError(f"{self.csv}: no row for {part}; more rows are needed")
        return parts

    def fit(self) -> LabelledFit:
        rows = [row for part in self.rows.values() for row in part]
        symbols = sorted({word for words, _ in self.rows["train"] for word in words})
        if len(labels := sorted({label for _, label in rows})) == 1:
            raise InputError(f"{self.csv}: all rows have the label {labels[0]!r}")
        return LabelledFit(symbols=symbols, labels=labels, longest=max(len(words) for words, _ in rows))

    @property
    def spec(self) -> Spec:  # type: ignore[override]
        symbols, labels, longest = self.fitted.symbols, self.fitted.labels, self.fitted.longest
        return Spec(Tokens(len(symbols) + 1), Classes(len(labels)), max_length=longest, readout="last")

    @cached_property
    def parts(self) -> dict[Part, Labelled]:
        """Every row as tensors, by part."""
        ids = {symbol: number for number, symbol in enumerate(self.fitted.symbols, start=1)}
        places = {label: number for number, label in enumerate(self.fitted.labels)}
        found: dict[Part, Labelled] = {}
        for part, rows in self.rows.items():
            padded = torch.zeros(len(rows), self.fitted.longest, dtype=torch.int64)
            for row, (words, _) in zip(padded, rows, strict=True):
                row[: len(words)] = torch.tensor([ids.get(word, 0) for word in words])
            lengths, labels = [len(words) for words, _ in rows], [places[label] for _, label in rows]
            found[part] = Labelled(padded, torch.tensor(lengths), torch.tensor(labels))
        return found

    @cached_property
    def stream(self) -> EpochStream:  # type: ignore[override]
        """The numbers of the training rows, in an order of its own in each epoch."""
        return EpochStream(torch.arange(len(self.parts["train"].labels)), self.batch_size, self.seed)

    def train_batch(self, step: int) -> Labelled:
        chosen = self.stream.batch(step)
        return Labelled(*(column[chosen] for column in self.parts["train"]))

    def evaluation_set(self, split: Split) -> Labelled:
        return self.parts[split]


def labelled_rows(path: str) -> list[tuple[list[str], str]]:
    """The symbols and the label of each row of a file.

    Raises:
        InputError: it cannot be read, or a row has no sequence or no label that can be printed.
    """
    file = read_csv(path, ["sequence", "label"])
    sequences, labels = (file.cells(file.place(column)) for column in ("sequence", "label"))
    for row, sequence, label in zip(file.rows, sequences, labels, strict=True):
        if not (sequence and label and (sequence + label).isprintable()):
            raise InputError(f"{path}, line {row.line}: a sequence and a label are needed, in characters that print")
    return [(sequence.split(), label) for sequence, label in zip(sequences, labels, strict=True)]


class Labels(Task[LabelledDataModule, SequenceModel]):
    """The label of a sequence, asked for at its last symbol."""

    columns = MappingProxyType({"loss": "test/loss", "accuracy": "test/accuracy"})
    better = MappingProxyType({"test/loss": "low", "test/accuracy": "high"})

    def title(self) -> str:
        counts = ", ".join(f"{len(rows):,} {part}" for part, rows in self.data.rows.items())
        return f"labels of {self.data.csv}: {counts}; split by sequence, so equal ones are together"

    def logits(self, model: SequenceModel, batch: Labelled) -> Tensor:
        """Those at the last symbol of each row, (rows, labels). A model sees nothing of what is behind it."""
        return model(batch.ids)[torch.arange(len(batch.ids), device=batch.ids.device), batch.lengths - 1]

    def loss(self, model: SequenceModel, batch: Labelled) -> Tensor:
        return cross_entropy(self.logits(model, batch), batch.labels)

    def evaluate(self, model: SequenceModel, split: Split) -> Results:
        loss, chosen = Mean(), []
        with evaluating(model):
            for batch in self.batches(model, split):
                logits = self.logits(model, batch)
                loss.update(cross_entropy(logits, batch.labels), len(batch.labels))
                chosen.append(logits.argmax(-1).cpu())
        return {f"{split}/loss": loss.compute(), f"{split}/accuracy": self.accuracy(torch.cat(chosen), split)}

    def accuracy(self, chosen: Tensor, split: Split) -> Proportion:
        """Of labels (rows,) for all rows of a split. Rows of one sequence have one answer, so they are one trial."""
        part = self.data.parts[split]
        _, sequences = part.ids.unique(dim=0, return_inverse=True)
        return Proportion.clustered(chosen == part.labels, sequences)

    def baselines(self) -> dict[str, Results]:
        """The frequencies of the labels in training. No baseline is an oracle: rows may contradict each other."""
        test = self.data.parts["test"].labels
        counts = self.data.parts["train"].labels.bincount(minlength=len(self.data.fitted.labels)) + 1.0
        loss = cross_entropy(counts.log().expand(len(test), -1), test)
        chosen = counts.argmax().expand_as(test)
        return {"most frequent": {"test/loss": float(loss), "test/accuracy": self.accuracy(chosen, "test")}}

    def sample_prompt(self) -> str:
        return self.data.fitted.symbols[0]

    def parse_prompt(self, text: str) -> Tensor:
        symbols, words = self.data.fitted.symbols, text.split()
        if not 1 <= len(words) <= self.data.fitted.longest:
            raise InputError(f"{len(words)} symbols: 1 to {self.data.fitted.longest} are needed, blanks between")
        for word in words:
            if word not in symbols:
                raise InputError(f"{reprlib.repr(word)} is in no training row")
        return torch.tensor([[1 + symbols.index(word) for word in words]])

    def describe(self, model: SequenceModel, prompt: Tensor) -> str:
        with evaluating(model):
            probabilities = model(prompt.to(device_of(model)))[0, -1].softmax(-1)
        best = int(probabilities.argmax())
        return f"label     {quoted(self.data.fitted.labels[best])} ({float(probabilities[best]):.1%})"
