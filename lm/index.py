"""An index of text passages and their vectors, stored in a folder and searched by cosine similarity.

The folder has vectors.npz, passages.jsonl and index.json, which identifies the checkpoint by its SHA-256.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lm.vectors import Encode, Fitted, fit, vectors
from seqlab.model import SequenceModel

FEWEST_WORDS = 40  # of a passage, except the last one of a document


class Index(NamedTuple):
    """Passages, their unit vectors (passages, width), and the statistics for vectors of queries."""

    passages: list[str]
    vectors: Tensor
    fitted: Fitted


def passages(documents: Sequence[str]) -> list[str]:
    """Splits documents into passages: consecutive paragraphs, joined until they have 40 words, within one document.

    >>> passages(["Who's there?\\n\\nNay, answer me.\\n", "Long live the king!"])
    ["Who's there?\\n\\nNay, answer me.", 'Long live the king!']
    """
    found = []
    for document in documents:
        waiting: list[str] = []
        for paragraph in document.split("\n\n"):
            if paragraph.strip():
                waiting.append(paragraph.strip("\n"))
            if sum(len(part.split()) for part in waiting) >= FEWEST_WORDS:
                found.append("\n\n".join(waiting))
                waiting = []
        if waiting:
            found.append("\n\n".join(waiting))
    return found


def build_index(model: SequenceModel, encode: Encode, texts: Sequence[str]) -> Index:
    """Build the index of the given passages."""
    fitted, of_passages = fit(model, encode, texts)
    return Index(list(texts), of_passages, fitted)


def search(index: Index, model: SequenceModel, encode: Encode, query: str, number: int) -> list[tuple[float, str]]:
    """The `number` nearest passages with their cosine similarities, best first.

    Raises:
        ValueError: the query has no tokens.
    """
    (direction,) = vectors(model, encode, [query], index.fitted)
    best = (index.vectors @ direction).topk(min(number, len(index.passages)))
    return [(score, index.passages[place]) for score, place in zip(*map(Tensor.tolist, best), strict=True)]


def save_index(index: Index, folder: Path, checkpoint: Path) -> None:
    """Write an index folder atomically: under a temporary name, then renamed."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        arrays = {"vectors": index.vectors, **index.fitted._asdict()}
        np.savez(temporary / "vectors.npz", **{name: array.numpy() for name, array in arrays.items()})
        lines = (json.dumps({"passage": passage}, ensure_ascii=False) + "\n" for passage in index.passages)
        (temporary / "passages.jsonl").write_text("".join(lines), encoding="utf-8")
        about = {"checkpoint_sha256": sha256(checkpoint), "passages": len(index.passages)}
        (temporary / "index.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_index(folder: Path, checkpoint: Path) -> Index:
    """Load the index from a folder.

    Raises:
        ValueError: the folder is not an index, is damaged, or belongs to another checkpoint.
    """
    try:
        about = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        lines = (folder / "passages.jsonl").read_text(encoding="utf-8").split("\n")
        kept = [json.loads(line)["passage"] for line in lines if line]
        with np.load(folder / "vectors.npz") as arrays:
            of_passages, *fitted = (torch.from_numpy(arrays[name]) for name in ("vectors", *Fitted._fields))
        same = about["checkpoint_sha256"] == sha256(checkpoint)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is not an index or is damaged: {error}") from error
    if not same:
        raise ValueError(f"{folder} is the index of another checkpoint, not {checkpoint}: use another folder")
    if len(kept) != len(of_passages) or len(kept) != about["passages"]:
        raise ValueError(f"{folder} is a damaged index: {len(kept)} passages, {len(of_passages)} vectors")
    return Index(kept, of_passages, Fitted(*fitted))


def sha256(file: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
