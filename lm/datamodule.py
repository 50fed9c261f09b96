"""A corpus as training windows, and as validation and test texts."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.utils.data import DataLoader

from lm.corpus import Corpus, CorpusName, check_source, load_corpus
from lm.tokenizer import Kind, TextTokenizer, VocabularySize, read_tokenizer, train_tokenizer
from seqlab.files import at_home
from seqlab.lit.datamodule import DataModule
from seqlab.randomness import permutation, uniforms
from seqlab.spec import Classes, Spec, Tokens

Part = Literal["train", "val", "test"]


class TextDataModule(DataModule):
    """Windows of context_length + 1 ids, (batch, context_length + 1) int64; nothing is padded.

    An epoch reads the training text in windows that follow one another, from an offset and in an order of its own; up
    to one batch of windows is left out. Validation and test are one item each: all ids of the part.

    Args:
        corpus: which text (lm/corpus.py); None: files where a path is given, hf where a name is, else shakespeare.
        path: a file or folder of one's own.
        name: of a data set for corpus=hf.
        tokenizer, vocabulary_size: as in lm.tokenizer.train_tokenizer; made from the training part.
        tokenizer_path: a tokenizer that exists, instead.
        tokenizer_json: a tokenizer itself, instead: a checkpoint holds its own.
        context_length: the tokens that a model reads at once.
        batch_size: windows in a batch.
        cache_dir: ids are kept there, in files named by what text and tokenizer they come from.
        seed: of the order of windows.

    Raises:
        ValueError: for a path or name that the corpus does not take, a text that is missing, empty, not UTF-8 or too
            short, or a tokenizer that cannot be read.
    """

    def __init__(
        self,
        *,
        corpus: CorpusName | None = None,
        path: str | None = None,
        name: str | None = None,
        tokenizer: Kind = "bpe",
        vocabulary_size: VocabularySize = 2000,
        tokenizer_path: str | None = None,
        tokenizer_json: str | None = None,
        context_length: Annotated[int, Ge(2)] = 128,
        batch_size: Annotated[int, Ge(1)] = 32,
        cache_dir: str = "outputs/cache",
        seed: Annotated[int, Ge(0)] = 1,
    ):
        super().__init__()
        implied = "files" if path is not None else "hf" if name is not None else "shakespeare"
        self.source: tuple[CorpusName, str | None, str | None] = (corpus or implied, path, name)
        check_source(*self.source)
        self.context_length, self.batch_size = context_length, batch_size
        self.cache_dir = at_home(cache_dir) / "text"
        self.seed = seed
        if tokenizer_json is not None:
            self.tokenizer = TextTokenizer(tokenizer_json)
        elif tokenizer_path is not None:
            self.tokenizer = read_tokenizer(tokenizer_path)
        else:
            self.tokenizer = self._trained_tokenizer(tokenizer, vocabulary_size)
        width = self.tokenizer.vocabulary_size
        self.spec = Spec(Tokens(width), Classes(width), max_length=context_length)
        self.epoch = -1
        self.starts: Tensor

    @cached_property
    def corpus(self) -> Corpus:
        """The text; read when first asked for, so that a run can be loaded where its text is not."""
        source, path, name = self.source
        return load_corpus(source, path=path, name=name)

    def _trained_tokenizer(self, kind: Kind, vocabulary_size: int) -> TextTokenizer:
        key = digest(kind, str(vocabulary_size), *self.corpus.train)
        file = self.cache_dir / f"tokenizer-{key}.json"
        if file.is_file():
            return read_tokenizer(file)
        tokenizer = train_tokenizer(kind, self.corpus.train, vocabulary_size)
        temporary = self._temporary(file)
        temporary.write_text(tokenizer.json, encoding="utf-8")
        os.replace(temporary, file)
        return tokenizer

    def ids(self, part: Part) -> np.ndarray:
        """The ids of a part, DOCUMENT before each document, as a memory map of uint16; encoded once, then kept."""
        documents = getattr(self.corpus, part)
        file = self.cache_dir / f"ids-{digest(self.tokenizer.json, *documents)}.npy"
        if not file.is_file():
            temporary = self._temporary(file)
            with open(temporary, "wb") as out:
                np.save(out, self.tokenizer.encode_documents(documents))
            os.replace(temporary, file)
        return np.load(file, mmap_mode="r")

    def _temporary(self, file: Path) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.with_name(f".{file.name}.{os.getpid()}.tmp")

    @cached_property
    def train_ids(self) -> np.ndarray:
        """The ids of the training part.

        Raises:
            ValueError: when they do not fill one batch.
        """
        ids = self.ids("train")
        needed = (self.batch_size + 1) * self.context_length
        if len(ids) < needed:
            raise ValueError(
                f"{self.corpus.description}: {len(ids):,} training tokens, and data.batch_size={self.batch_size} with "
                f"data.context_length={self.context_length} needs {needed:,} or more"
            )
        return ids

    @property
    def windows_per_epoch(self) -> int:
        """How many windows follow one another in the training text, wherever the first one starts."""
        return (len(self.train_ids) - self.context_length) // self.context_length

    @property
    def steps_per_epoch(self) -> int | None:
        return self.windows_per_epoch // self.batch_size

    def train_batch(self, step: int) -> Tensor:
        assert self.steps_per_epoch is not None
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            offset = int(uniforms(self.seed, "offset", epoch, 1, width=1).item() * self.context_length)
            order = permutation(self.seed, "train", epoch, self.windows_per_epoch)
            self.starts, self.epoch = offset + order * self.context_length, epoch
        starts = self.starts[place * self.batch_size : (place + 1) * self.batch_size].numpy()
        window = np.arange(self.context_length + 1)
        return torch.from_numpy(self.train_ids[starts[:, None] + window].astype(np.int64))

    def part_loader(self, part: Part) -> DataLoader:
        """One item: the ids of a part, (length,) int64."""
        return DataLoader([torch.from_numpy(self.ids(part).astype(np.int64))], batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader:
        return self.part_loader("val")

    def test_dataloader(self) -> DataLoader:
        return self.part_loader("test")


def digest(*texts: str) -> str:
    """A name for texts: 16 hexadecimal digits of the SHA-256 of each with its length before it."""
    sha = hashlib.sha256()
    for text in texts:
        content = text.encode()
        sha.update(len(content).to_bytes(8, "big") + content)
    return sha.hexdigest()[:16]
