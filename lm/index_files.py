"""An index in a folder: JSON, and numpy arrays without pickle. Written under another name first, then renamed."""

import json
import os
import shutil
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from lm.continuation import WIDTH
from lm.lexical import LexicalEmbedding
from lm.search import Index
from seqlab.errors import InputError

if TYPE_CHECKING:
    from bm25s import BM25

LEXICAL = ("vectors", "weights", "rarity")
BM25_SETTINGS = {"backend": "numpy", "method": "lucene", "dtype": "float32", "int_dtype": "int32"}  # of word_index
DAMAGE = (  # what the readers of the files raise
    *(OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RecursionError),
    *(BadZipFile, zlib.error),
)


def save(index: Index, folder: Path, checkpoints: Sequence[Path]) -> None:
    """Write an index to a folder, in the place of one that is there.

    Args:
        index: the index.
        folder: where to.
        checkpoints: the files of the models that it was built with.
    """
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    temporary.mkdir(parents=True)
    try:
        np.save(temporary / "vectors.npy", index.vectors)
        np.save(temporary / "usual.npy", index.usual)
        np.savez(temporary / "lexical.npz", **dict(zip(LEXICAL, index.lexical.arrays(), strict=True)))
        (temporary / "words.json").write_text(json.dumps(index.lexical.words()), encoding="utf-8")
        index.bm25.save(temporary / "bm25", show_progress=False)
        lines = (
            json.dumps({"source": source, "passage": passage}) + "\n"  # a name may have bytes that are not UTF-8
            for source, passage in zip(index.sources, index.passages, strict=True)
        )
        (temporary / "passages.jsonl").write_text("".join(lines), encoding="utf-8")
        about = {"checkpoints_sha256": [*map(hashed, checkpoints)], "passages": len(index.passages)}
        (temporary / "index.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        _put(temporary, folder, old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(new: Path, folder: Path, old: Path) -> None:
    """Rename `new` to `folder`; what is there is called `old` until then, and comes back if that fails."""
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(new, folder)
    except BaseException:  # whatever stops it, Ctrl-C too: the old index comes back, and the error goes on
        if old.exists():
            os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, checkpoints: Sequence[Path]) -> Index:
    """Load an index. Its vectors stay in their file, which is mapped into memory.

    Raises:
        InputError: there is none, it is damaged, or it was built with other checkpoints.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no index; seqlab index RUN FOLDER makes it")
    import bm25s

    try:
        about = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        lines = (folder / "passages.jsonl").read_text(encoding="utf-8").split("\n")
        kept = [json.loads(line) for line in lines if line]
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        usual = np.load(folder / "usual.npy")
        with np.load(folder / "lexical.npz") as arrays:
            words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
            lexical = LexicalEmbedding.restored(words, *(arrays[name] for name in LEXICAL))
        bm25 = bm25s.BM25.load(folder / "bm25", override_params=BM25_SETTINGS, show_progress=False)
        same = about["checkpoints_sha256"] == [*map(hashed, checkpoints)]
        index = Index([row["passage"] for row in kept], [row["source"] for row in kept], bm25, lexical, vectors, usual)
        _check(index, about["passages"])
    except DAMAGE as error:
        raise InputError(f"{folder} is not an index or is damaged: {error}") from error
    if not same:
        raise InputError(f"{folder} is the index of other checkpoints than those of this run: make it again")
    return index


def _check(index: Index, number: int) -> None:
    """Raise ValueError unless the parts of an index, as read from its files, fit each other.

    Args:
        index: the index.
        number: of passages, as index.json has it.
    """
    words, width = index.lexical.vectors_.shape
    if not all(isinstance(text, str) for text in (*index.passages, *index.sources)):
        raise ValueError("a passage or a source is no text")
    for name, array, shape in (
        ("vectors", index.vectors, (number, width + WIDTH)),
        ("usual", index.usual, (number,)),
        ("weights", index.lexical.weights_, (words,)),
        ("word vectors", index.lexical.vectors_, (len(index.lexical.words()), width)),
    ):
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"{name} {array.shape} {array.dtype}; needed: {shape} float32")
    if len(index.passages) != number:
        raise ValueError(f"{len(index.passages)} passages; needed: {number}")
    _check_bm25(index.bm25, number)


def _check_bm25(bm25: "BM25", number: int) -> None:
    """Raise ValueError unless the words of a BM25 index point into its scores, and these to passages."""
    data, places, starts = (bm25.scores[key] for key in ("data", "indices", "indptr"))
    fits = (
        bm25.scores["num_docs"] == number
        and data.ndim == places.ndim == starts.ndim == 1
        and data.dtype.kind == "f"
        and places.dtype.kind == starts.dtype.kind == "i"
        and len(data) == len(places) == starts[-1]
        and starts[0] == 0
        and (np.diff(starts) >= 0).all()
        and ((places >= 0) & (places < number)).all()
        and all(type(place) is int and 0 <= place < len(starts) - 1 for word, place in bm25.vocab_dict.items() if word)
    )
    if not fits:
        raise ValueError("the files of BM25 do not fit each other or the passages")


def hashed(file: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal."""
    return sha256(file.read_bytes()).hexdigest()
