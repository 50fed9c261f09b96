"""The datamodule of text: training windows, and whole validation and test texts."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from lm.cache import Cache, digest
from lm.corpus import Corpus, CorpusName, check_source, load_corpus, source_files
from lm.tokenizer import Kind, TextTokenizer, VocabularySize, read_tokenizer, train_tokenizer
from seqlab.files import at_home
from seqlab.kept import Fitted, Kept
from seqlab.lit.datamodule import DataModule
from seqlab.randomness import permutation, uniforms
from seqlab.spec import Classes, Spec, Tokens

Part = Literal["train", "val", "test"]


class TextFit(Fitted):
    """What a language model keeps from its training text: the tokenizer, as JSON."""

    tokenizer: str


class TextDataModule(DataModule):
    """Windows of context_length + 1 ids, (batch, context_length + 1) int64, without padding.

    Each epoch reads the training text in consecutive windows, with its own offset and order. It omits less than one
    batch of windows. Validation and test are one item each: all ids of the part.

    Args:
        corpus: which text (lm/corpus.py); None: files if a path is given, hf if a name is given, else shakespeare.
        path: the user's file or folder, for corpus=files.
        name: name of a data set, for corpus=hf.
        tokenizer, vocabulary_size: as in lm.tokenizer.train_tokenizer, trained on the training part.
        tokenizer_path: file of an existing tokenizer to use instead.
        context_length: number of tokens that a model reads at once.
        batch_size: windows in a batch.
        cache_dir: folder for cached tokenizers and ids, in files named by a hash of their sources. If it is not
            writable, they stay in memory.
        seed: seed of the order of windows.

    Raises:
        ValueError: the corpus does not accept the path or name; the text is missing, empty, not UTF-8 or too short; or
            the tokenizer cannot be read.
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
        self.cache = Cache(at_home(cache_dir) / "text")
        self.seed = seed
        self.tokenizer_path, self.vocabulary_size = tokenizer_path, vocabulary_size
        self.kind: Kind = tokenizer
        self.arrays: dict[Part, np.ndarray] = {}
        self.epoch = -1
        self.starts: Tensor

    fitted_type = TextFit

    def data_files(self) -> Mapping[str, Path]:
        return source_files(*self.source)

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus, read on first use."""
        self.refuse_changed_files()
        source, path, name = self.source
        return load_corpus(source, path=path, name=name)

    def fit(self) -> TextFit:
        if self.tokenizer_path is not None:
            return TextFit(tokenizer=read_tokenizer(self.tokenizer_path).json)
        train, size = self.corpus.train, self.vocabulary_size
        name = f"tokenizer-{digest(self.kind, str(size), *train)}.json"
        return TextFit(tokenizer=self.cache.text(name, lambda: train_tokenizer(self.kind, train, size).json))

    def restore(self, kept: Kept) -> None:
        super().restore(kept)
        _ = self.tokenizer  # raises early if it is invalid

    @cached_property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer."""
        return TextTokenizer(self.fitted.tokenizer)

    @property
    def spec(self) -> Spec:  # type: ignore[override]
        """The spec: tokens of the tokenizer in and out."""
        width = self.tokenizer.vocabulary_size
        return Spec(Tokens(width), Classes(width), max_length=self.context_length)

    def ids(self, part: Part) -> np.ndarray:
        """The ids of a part, (length,) uint16, with DOCUMENT before each document. Cached and memory-mapped."""
        if part not in self.arrays:
            documents = getattr(self.corpus, part)
            name = f"ids-{digest(self.tokenizer.json, *documents)}.npy"
            self.arrays[part] = self.cache.array(name, lambda: self.tokenizer.encoded(documents))
        return self.arrays[part]

    @cached_property
    def train_ids(self) -> np.ndarray:
        """The ids of the training part, (length,) uint16.

        Raises:
            ValueError: they do not fill one batch.
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
        """The number of consecutive windows that fit in the training text for any offset."""
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

    def evaluation_set(self, split: Literal["val", "test"]) -> Tensor:
        return torch.from_numpy(self.ids(split).astype(np.int64))

    def batches(self, split: Literal["val", "test"]) -> Iterator[Tensor]:
        """Yields one item: all ids of a part, (length,) int64."""
        yield self.evaluation_set(split)
