"""Corpora: the embedded plays, the user's own files, and texts from other packages, each split by position.

The last 10% of all characters are `test`, 2.5% in the middle of the others are `val` (for model selection), and the
rest is `train`. With fewer than 20 documents the cuts are at exactly these characters, inside a document. Otherwise
they are at the nearest document boundaries.

`shakespeare` stands for the file known as tiny-shakespeare; `test` is what others use as its validation part. It is
rebuilt from another edition of the same plays (lm/derive_plays.py). It also has 1,115,394 characters, but 64 distinct
ones instead of 65, and other bytes. At four places spread over both texts, the same line is offset by 39, -673, -478
and -1,627 characters (0.15%). Known differences: headers "3 KING HENRY VI" there, misprints ("sha$l") here, speakers'
names ("Senators, &C"). So compare bits per character with published values only to about a hundredth. `val` is not
directly before `test`, where it would be the beginning of the play that `test` continues: a 7-gram of characters has
2.42 bits per character on `test` without that text and 2.20 with it.
"""

import hashlib
import io
import sys
import tarfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from lm.own_text import own_documents, own_files
from lm.packaged_text import article_summaries, hub_documents, local_files, summaries_file

CorpusName = Literal["shakespeare", "plays", "files", "wiki", "hf"]
ARCHIVE = "plays.tar.xz"
PINNED = {  # SHA-256 of tiny-shakespeare, and of the 38 plays concatenated
    "shakespeare": "e37c2b92ea35c137f3153d1b383fce4ae50f1d9d17238301bf0877119a4af3a5",
    "plays": "bc12cac6dfd5d56c410ffa7cf321f34ec9fbaefb9a600ee3644186c1b7527161",
}
FEWEST_TO_KEEP_WHOLE = 20  # documents
CUTS = (0.4375, 0.4625, 0.9)  # where val begins and ends, and where test begins


class Corpus(NamedTuple):
    """A text, split by position.

    name: shakespeare, plays, files, wiki or hf.
    description: one line for tables.
    train, val, test: documents or pieces of a document. The parts are disjoint pieces of the text.
    """

    name: str
    description: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def load_corpus(corpus: CorpusName, *, path: str | None = None, name: str | None = None) -> Corpus:
    """Load a corpus by its name.

    Args:
        corpus: shakespeare: tiny-shakespeare, embedded. plays: all 38 plays, embedded. They contain tiny-shakespeare's
            test part, so never evaluate a model trained on them on tiny-shakespeare. files: the user's own files. wiki:
            10,033 article summaries. hf: a data set loaded by `datasets`.
        path: for files, a file or a folder.
        name: for hf, NAME or NAME:CONFIGURATION on the hub, or a local folder.

    Raises:
        ValueError: the source is missing, is not text, or is too short to split.
    """
    check_source(corpus, path, name)
    match corpus:
        case "shakespeare":
            documents = [_plays("shakespeare")["tinyshakespeare"]]
            description = f"tiny-shakespeare (nine plays, {len(documents[0]):,} characters)"
        case "plays":
            documents = list(plays().values())
            length = sum(map(len, documents))
            description = f"38 plays by Shakespeare ({length:,} characters, tiny-shakespeare's test part among them)"
        case "files":
            found = own_documents(str(path))
            say_what_is_repeated(found)
            documents = list(found.values())
            description = f"{path} (documents: {len(documents):,}, characters: {sum(map(len, documents)):,})"
        case "wiki":
            documents = article_summaries()
            description = f"summaries of {len(documents):,} articles ({sum(map(len, documents)):,} characters)"
        case "hf":
            documents = hub_documents(str(name))
            say_what_is_repeated({f"row {row}": text for row, text in enumerate(documents, 1)})
            description = f"{name} (documents: {len(documents):,}, characters: {sum(map(len, documents)):,})"
        case _:
            raise ValueError(f"corpus={corpus!r} must be shakespeare, plays, files, wiki or hf")
    return Corpus(corpus, description, *split_by_position(documents))


def source_files(corpus: CorpusName, path: str | None, name: str | None) -> dict[str, Path]:
    """{name that the user knows: path} of the files that `load_corpus` reads. Empty for a data set on the hub.

    Raises:
        ValueError: the files are missing.
    """
    match corpus:
        case "files":
            return own_files(str(path))
        case "wiki":
            file = summaries_file()
            return {f"{file.parent.name}/{file.name}": file}
        case "hf":
            return local_files(str(name))
        case _:
            return {f"lm/{ARCHIVE}": Path(str(files("lm").joinpath(ARCHIVE)))}


def say_what_is_repeated(documents: Mapping[str, str]) -> None:
    """Warn on stderr about documents with the same text, which may be in training and in another part."""
    firsts: dict[str, str] = {}
    repeats = [(name, first) for name, text in documents.items() if (first := firsts.setdefault(text, name)) != name]
    if repeats:
        more = f", and {len(repeats) - 1:,} more repeat another" if len(repeats) > 1 else ""
        print(
            f"warning: {repeats[0][1]} and {repeats[0][0]} hold the same text{more}: "
            "the same text may be in the training and in the test part",
            file=sys.stderr,
        )


def check_source(corpus: str, path: str | None, name: str | None) -> None:
    """Raise ValueError unless `files` has a path, `hf` a name, and the others neither."""
    for owner, key, value in (("files", "path", path), ("hf", "name", name)):
        if (corpus == owner) != (value is not None):
            raise ValueError(f"data.corpus={corpus}, data.{key}={value}: files needs a path, hf a name, others neither")


def plays() -> dict[str, str]:
    """The 38 plays by name, in alphabetical order."""
    texts = _plays("plays")
    del texts["tinyshakespeare"]
    return texts


def _plays(checked: Literal["shakespeare", "plays"]) -> dict[str, str]:
    """All texts of the archive by name, after verifying the checksum of the requested ones."""
    with tarfile.open(fileobj=io.BytesIO(files("lm").joinpath(ARCHIVE).read_bytes()), mode="r:xz") as tar:
        texts = {}
        for member in tar:
            file = tar.extractfile(member)
            texts[member.name.removesuffix(".txt")] = "" if file is None else file.read().decode("utf-8")
    wanted = [text for name, text in texts.items() if (name == "tinyshakespeare") == (checked == "shakespeare")]
    if (found := hashlib.sha256("".join(wanted).encode()).hexdigest()) != PINNED[checked]:
        raise ValueError(f"lm/{ARCHIVE} is not the archive of SeqLab: sha256 of {checked} is {found}")
    return texts


def split_by_position(documents: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Split documents into train, val and test, as described in the module docstring.

    >>> split_by_position(["a" * 35 + "b" * 2 + "c" * 35 + "d" * 8])[1:]
    (('bb',), ('dddddddd',))

    Raises:
        ValueError: the text is too short for three parts.
    """
    starts = [0, *accumulate(map(len, documents))]
    length = starts[-1]
    exact = [int(cut * length) for cut in CUTS]
    cuts = exact
    if len(documents) >= FEWEST_TO_KEEP_WHOLE:
        nearest = [min(starts, key=lambda start: abs(start - cut)) for cut in exact]
        if 0 < nearest[0] < nearest[1] < nearest[2] < length:  # else a long document must be cut
            cuts = nearest
    if not 0 < cuts[0] < cuts[1] < cuts[2] < length:
        raise ValueError(f"{length} characters are too few to split into train, val and test: 80 or more are needed")
    before, val, after, test = (
        tuple(
            document[max(low - start, 0) : max(high - start, 0)]
            for start, document in zip(starts, documents, strict=False)
            if start < high and start + len(document) > low
        )
        for low, high in pairwise([0, *cuts, length])
    )
    return before + after, val, test


def speeches(play: str) -> list[tuple[str, str]]:
    """(speaker, speech) pairs of a play from `plays`, in order, without empty speeches.

    >>> speeches("All:\\nSpeak, speak.\\n\\nFirst Citizen:\\nYou are all\\nresolved?\\n")
    [('All', 'Speak, speak.'), ('First Citizen', 'You are all\\nresolved?')]
    """
    parts = (block.strip().partition(":\n") for block in play.split("\n\n"))
    return [(speaker, said) for speaker, colon, said in parts if colon and said]
