"""Tokenizers: byte-level BPE, characters or bytes, by the library `tokenizers`.

Encoding and then decoding is the identity on every string that has a UTF-8 form. Id 0 is DOCUMENT, which precedes each
document. It never comes from text: the characters "<|document|>" in a text are encoded as ordinary characters.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from seqlab.files import at_home

Kind = Literal["bpe", "char", "byte"]
Cut = Literal["anywhere", "before blanks", "nowhere"]
MOST_IDS = 2**16  # ids are stored as uint16
VocabularySize = Annotated[int, Interval(ge=257, le=MOST_IDS)]

DOCUMENT = "<|document|>"
REPLACEMENT = "\ufffd"  # what decoding has in place of bytes that are no UTF-8
DOCUMENT_ID = 0
NUM_BYTES = 256
PIECE = 2**17  # characters encoded at once: the library needs a hundred bytes for each
# Not after U+180E, which was whitespace in older editions of Unicode.
BLANK_AFTER_OTHER = re.compile(r"[^\s\u180e][ \n]")


class TextTokenizer:
    """A tokenizer of this project, with ids 0 .. vocabulary_size - 1. Id 0 is DOCUMENT.

    Args:
        text: the JSON that `tokenizers` writes.

    Raises:
        ValueError: the text is not a tokenizer, id 0 is not DOCUMENT, or the ids have gaps or exceed 16 bits.
    """

    def __init__(self, text: str):
        try:
            self.tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises Exception itself
            reason = " ".join(str(error).split())
            raise ValueError(f"this is not a tokenizer of the library tokenizers: {reason}") from error
        if self.tokenizer.token_to_id(DOCUMENT) != DOCUMENT_ID:
            raise ValueError(f"this tokenizer is not one of this project: token {DOCUMENT_ID} is not {DOCUMENT}")
        ids = self.tokenizer.get_vocab(with_added_tokens=True).values()
        if max(ids) != len(ids) - 1 or len(ids) > MOST_IDS:
            raise ValueError(
                f"this tokenizer has {len(ids)} ids up to {max(ids)}: they must be 0 to at most {MOST_IDS - 1} without "
                "gaps"
            )
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = True  # "<|document|>" in a text is ordinary text
        self.json = text
        self.cut: Cut = cut_of(self.tokenizer)

    @property
    def vocabulary_size(self) -> int:
        """The number of ids."""
        return self.tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without DOCUMENT. Bytes that do not form a character become U+FFFD."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def encode_documents(self, documents: Iterable[str]) -> np.ndarray:
        """DOCUMENT and the ids of each document, concatenated: (length,) uint16."""
        return np.concatenate([*self.encoded(documents)])

    def encoded(self, documents: Iterable[str]) -> Iterator[np.ndarray]:
        """Like `encode_documents`, but piece by piece, which needs little memory beyond the text and the ids."""
        waiting: list[tuple[bool, str]] = []
        length = 0
        for document in documents:
            for number, piece in enumerate(pieces(document, self.cut)):
                waiting.append((number == 0, piece))
                length += len(piece)
                if length >= PIECE:
                    yield self._ids(waiting)
                    waiting, length = [], 0
        if waiting:
            yield self._ids(waiting)

    def _ids(self, batch: Sequence[tuple[bool, str]]) -> np.ndarray:
        """The ids of pieces, with DOCUMENT before those that begin a document: (length,) uint16."""
        encodings = self.tokenizer.encode_batch_fast([text for _, text in batch], add_special_tokens=False)
        ids: list[int] = []
        for (begins, _), encoding in zip(batch, encodings, strict=True):
            ids += [DOCUMENT_ID] * begins + encoding.ids
        return np.array(ids, dtype=np.uint16)

    def stream(self) -> "Stream":
        """A decoder for ids that arrive one by one."""
        return Stream(self.tokenizer)


class Stream:
    """Decodes ids as they arrive. A character whose bytes span several ids is held back until it is complete.

    For the ids of a text, what `step` returns and then `rest` is together the text. A model may say ids whose bytes
    are no UTF-8: they become U+FFFD.
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.before: list[int] = []  # ids whose text is out; some decoders need them for what follows
        self.held: list[int] = []

    def step(self, id: int) -> str:
        """The text that one more id completes; may be empty."""
        self.held.append(id)
        text = self._text()
        if not text or text.endswith(REPLACEMENT):
            return ""
        self.before, self.held = self.held, []
        return text

    def rest(self) -> str:
        """The text of the ids that are held back, in which bytes of no complete character are U+FFFD."""
        text = self._text()
        self.before, self.held = self.held, []
        return text

    def _text(self) -> str:
        before = self.tokenizer.decode(self.before, skip_special_tokens=True)
        return self.tokenizer.decode(self.before + self.held, skip_special_tokens=True)[len(before) :]


def cut_of(tokenizer: Tokenizer) -> Cut:
    """Where a text can be cut without changing its ids.

    A tokenizer without merges encodes each character separately. In one that splits words like byte-level BPE, no token
    has a blank after another character.
    """
    about = json.loads(tokenizer.to_str())
    model, before, added = about["model"], about["pre_tokenizer"], about["added_tokens"]
    if [(token["content"], token["special"]) for token in added] != [(DOCUMENT, True)]:
        return "nowhere"
    unusual = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    if about["normalizer"] is not None or model["type"] != "BPE" or any(model[key] for key in unusual):
        return "nowhere"
    if before is None:
        return "nowhere" if model["merges"] else "anywhere"
    if before["type"] != "ByteLevel" or before["add_prefix_space"]:
        return "nowhere"
    if not model["merges"]:
        return "anywhere"
    return "before blanks" if before["use_regex"] else "nowhere"


def pieces(text: str, cut: Cut, size: int = PIECE) -> Iterator[str]:
    """Splits a text into pieces of `size` characters, or more if it cannot be cut there. An empty text is one piece.

    >>> [*pieces("ab cd  ef", "before blanks", size=1)]
    ['ab', ' cd', '  ef']
    """
    start = 0
    while cut != "nowhere" and len(text) - start > size:
        end = start + size
        if cut == "before blanks":
            found = BLANK_AFTER_OTHER.search(text, end - 1)
            if found is None:
                break
            end = found.start() + 1
        yield text[start:end]
        start = end
    yield text[start:]


def train_tokenizer(kind: Kind, documents: Sequence[str], vocabulary_size: int = 2000) -> TextTokenizer:
    """Train a tokenizer.

    Args:
        kind: `bpe`: byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019) of vocabulary_size ids.
            `char`: the characters of the training text; all others as their bytes. `byte`: bytes.
        documents: the training text.
        vocabulary_size: number of ids for bpe, including DOCUMENT and the 256 bytes.

    Raises:
        ValueError: the text has too few distinct pairs for vocabulary_size ids.
    """
    if kind == "char":
        tokenizer = _characters(documents)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "bpe")
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        wanted = vocabulary_size if kind == "bpe" else 1 + NUM_BYTES
        trainer = trainers.BpeTrainer(
            vocab_size=wanted, initial_alphabet=alphabet, special_tokens=[DOCUMENT], show_progress=False
        )
        words = (piece for document in documents for piece in pieces(document, "before blanks"))
        tokenizer.train_from_iterator(words if kind == "bpe" else [], trainer)
        if (got := tokenizer.get_vocab_size()) != wanted:
            raise ValueError(f"the training text gives {got} tokens at most: data.vocabulary_size={wanted} is too many")
    return TextTokenizer(tokenizer.to_str())


def _characters(documents: Sequence[str]) -> Tokenizer:
    """A tokenizer with one token per character. Characters absent from the documents become their UTF-8 bytes."""
    names = [DOCUMENT, *(f"<0x{byte:02X}>" for byte in range(NUM_BYTES))]
    names += sorted(set().union(*map(set, documents)))
    tokenizer = Tokenizer(models.BPE({name: id for id, name in enumerate(names)}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(DOCUMENT, special=True)])
    return tokenizer


def read_tokenizer(path: str | Path) -> TextTokenizer:
    """Read a tokenizer from a file.

    Raises:
        ValueError: the file cannot be read or is not a tokenizer of this project.
    """
    try:
        return TextTokenizer(at_home(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data.tokenizer_path={path} cannot be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"data.tokenizer_path={path}: {error}") from error
