"""An index in a folder: JSON, and numpy arrays without pickle. Written under another name first, then renamed."""

import json
import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from lm.lexical import LexicalEmbedding
from lm.search import Index
from seqlab.errors import InputError

LEXICAL = ("vectors", "weights", "rarity")


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
            json.dumps({"source": source, "passage": passage}, ensure_ascii=False) + "\n"
            for source, passage in zip(index.sources, index.passages, strict=True)
        )
        (temporary / "passages.jsonl").write_text("".join(lines), encoding="utf-8")
        about = {"checkpoints_sha256": [*map(hashed, checkpoints)], "passages": len(index.passages)}
        (temporary / "index.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            os.replace(folder, old)
        os.replace(temporary, folder)
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


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
        bm25 = bm25s.BM25.load(folder / "bm25", show_progress=False)
        same = about["checkpoints_sha256"] == [*map(hashed, checkpoints)]
        index = Index([row["passage"] for row in kept], [row["source"] for row in kept], bm25, lexical, vectors, usual)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InputError(f"{folder} is not an index or is damaged: {error}") from error
    if not same:
        raise InputError(f"{folder} is the index of other checkpoints than those of this run: make it again")
    if not len(kept) == len(vectors) == len(usual) == about["passages"]:
        raise InputError(f"{folder} is a damaged index: {len(kept)} passages, {len(vectors)} vectors")
    return index


def hashed(file: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal."""
    return sha256(file.read_bytes()).hexdigest()
