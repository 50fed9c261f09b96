"""Passages of text and their vectors, kept in a folder and searched by cosine.

A folder holds vectors.npz, passages.jsonl and index.json, which names the checkpoint by its SHA-256.
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

FEWEST_WORDS = 40  # of a passage, unless its document is shorter


class Index(NamedTuple):
    """Passages, their vectors (passages, width) of length 1, and what a query's vector needs."""

    passages: list[str]
    vectors: Tensor
    fitted: Fitted


def passages(documents: Sequence[str]) -> list[str]:
    """Paragraphs, joined with those that follow until they have 40 words; none reaches over two documents.

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
    """The index of some passages."""
    fitted, of_passages = fit(model, encode, texts)
    return Index(list(texts), of_passages, fitted)


def search(index: Index, model: SequenceModel, encode: Encode, query: str, number: int) -> list[tuple[float, str]]:
    """The nearest passages with their cosines, best first.

    Raises:
        ValueError: the query has no tokens.
    """
    (direction,) = vectors(model, encode, [query], index.fitted)
    best = (index.vectors @ direction).topk(min(number, len(index.passages)))
    return [(score, index.passages[place]) for score, place in zip(*map(Tensor.tolist, best), strict=True)]


def save_index(index: Index, folder: Path, checkpoint: Path) -> None:
    """Write a folder as a whole or not at all: under a temporary name beside it, then renamed."""
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
    """The index in a folder.

    Raises:
        ValueError: it is none, is damaged, or belongs to another checkpoint.
    """
    try:
        about = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        lines = (folder / "passages.jsonl").read_text(encoding="utf-8").split("\n")
        kept = [json.loads(line)["passage"] for line in lines if line]
        with np.load(folder / "vectors.npz") as arrays:
            of_passages, *fitted = (torch.from_numpy(arrays[name]) for name in ("vectors", *Fitted._fields))
        same = about["checkpoint_sha256"] == sha256(checkpoint)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no index, or a damaged one: {error}") from error
    if not same:
        raise ValueError(f"{folder} is the index of another checkpoint than {checkpoint}: build one in another folder")
    if len(kept) != len(of_passages) or len(kept) != about["passages"]:
        raise ValueError(f"{folder} is a damaged index: {len(kept)} passages, {len(of_passages)} vectors")
    return Index(kept, of_passages, Fitted(*fitted))


def sha256(file: Path) -> str:
    """Of a file's content, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
