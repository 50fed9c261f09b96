"""Corpora: the embedded plays, the user's own files, and texts from other packages, each split by position.

The last 10% of all characters are `test`, 2.5% amid the others are `val`, for choosing; the rest is `train`.
Where there are fewer than 20 documents, the cuts fall at exactly those characters, inside a document; otherwise at the
boundaries nearest to them.

`shakespeare` stands for the file that is known as tiny-shakespeare: `test` is what others use as its validation part.
It is rebuilt from another edition of the same plays (lm/derive_plays.py): 1,115,394 characters as well, 64 different
ones instead of 65, but not the same bytes. Looked up at four places spread over both texts, the same line stands 39,
-673, -478 and -1,627 characters (0.15%) off its place there. Seen to differ: headers "3 KING HENRY VI" there, misprints
("sha$l") here, speakers' names ("Senators, &C"). So compare bits per character with published ones to about a
hundredth. `val` does not stand right before `test`, because there it would be the beginning of the play in which `test`
goes on: without it a 7-gram of characters has 2.42 bits per character on `test`, with it 2.20.
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
PINNED = {  # SHA-256 of tiny-shakespeare, and of the 38 plays one after the other
    "shakespeare": "e37c2b92ea35c137f3153d1b383fce4ae50f1d9d17238301bf0877119a4af3a5",
    "plays": "bc12cac6dfd5d56c410ffa7cf321f34ec9fbaefb9a600ee3644186c1b7527161",
}
FEWEST_TO_KEEP_WHOLE = 20  # documents
CUTS = (0.4375, 0.4625, 0.9)  # where val begins and ends, and where test begins


class Corpus(NamedTuple):
    """A text, and how it is split by position.

    name: shakespeare, plays, files, wiki or hf.
    description: one line for tables.
    train, val, test: documents, or pieces of one. No text is in two parts.
    """

    name: str
    description: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def load_corpus(corpus: CorpusName, *, path: str | None = None, name: str | None = None) -> Corpus:
    """A corpus by its name.

    Args:
        corpus: shakespeare: tiny-shakespeare, embedded. plays: all 38 plays, embedded; they hold the text that is
            tiny-shakespeare's test part, so numbers for tiny-shakespeare never come from a model trained on them.
            files: the user's own. wiki: 10,033 summaries of articles. hf: a data set that `datasets` loads.
        path: for files, a file or a folder.
        name: for hf, NAME or NAME:CONFIGURATION on the hub, or a local folder.

    Raises:
        ValueError: what is asked for is not there, is not text, or is too short to split.
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
    """The files that `load_corpus` reads, by a name that the user knows; none for a data set on the hub.

    Raises:
        ValueError: there are none where they should be.
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
    """Say on stderr which documents hold the same text: what is trained on may be in another part too."""
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
    """Raises ValueError unless `files` has a path, `hf` a name, and others neither."""
    for owner, key, value in (("files", "path", path), ("hf", "name", name)):
        if (corpus == owner) != (value is not None):
            raise ValueError(f"data.corpus={corpus}, data.{key}={value}: files has a path, hf a name, others neither")


def plays() -> dict[str, str]:
    """The 38 plays by name, in alphabetical order."""
    texts = _plays("plays")
    del texts["tinyshakespeare"]
    return texts


def _plays(checked: Literal["shakespeare", "plays"]) -> dict[str, str]:
    """All texts of the archive by name, after a look at the sum of the ones that are wanted."""
    with tarfile.open(fileobj=io.BytesIO(files("lm").joinpath(ARCHIVE).read_bytes()), mode="r:xz") as tar:
        texts = {}
        for member in tar:
            file = tar.extractfile(member)
            texts[member.name.removesuffix(".txt")] = "" if file is None else file.read().decode("utf-8")
    wanted = [text for name, text in texts.items() if (name == "tinyshakespeare") == (checked == "shakespeare")]
    if (found := hashlib.sha256("".join(wanted).encode()).hexdigest()) != PINNED[checked]:
        raise ValueError(f"lm/{ARCHIVE} is not the archive that SeqLab came with: sha256 of {checked} is {found}")
    return texts


def split_by_position(documents: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """train, val and test: see the module.

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
        if 0 < nearest[0] < nearest[1] < nearest[2] < length:  # else one document is so long that it must be cut
            cuts = nearest
    if not 0 < cuts[0] < cuts[1] < cuts[2] < length:
        raise ValueError(f"{length} characters are too few to split into train, val and test: 80 or more")
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
    """(speaker, what is said) of a play as `plays` holds it, in order; speeches of no words are left out.

    >>> speeches("All:\\nSpeak, speak.\\n\\nFirst Citizen:\\nYou are all\\nresolved?\\n")
    [('All', 'Speak, speak.'), ('First Citizen', 'You are all\\nresolved?')]
    """
    parts = (block.strip().partition(":\n") for block in play.split("\n\n"))
    return [(speaker, said) for speaker, colon, said in parts if colon and said]
