"""The user's own text: a file, or a folder of .txt, .md and .gz files, each a document."""

import gzip
import sys
import zlib
from pathlib import Path

from seqlab.files import at_home

SUFFIXES = (".txt", ".md", ".gz")


def own_files(path: str) -> dict[str, Path]:
    """The files that are read, by their names: a file (whatever its name ends in), or those of a folder and below.

    Of a folder, what is hidden (a file or a folder whose name begins with a dot) is left out, and what does not end in
    .txt, .md or .gz, in capitals or not. They are sorted by path.

    Raises:
        ValueError: there is no such path, or no such file in the folder.
    """
    return _files(path)[0]


def _files(path: str) -> tuple[dict[str, Path], str]:
    """The files that are read, and how many were skipped, in words."""
    place = at_home(path)
    if not place.exists():
        raise ValueError(f"data.path={path}: there is no such file or folder")
    if not place.is_dir():
        return {path: place}, ""
    below = sorted(file.relative_to(place) for file in place.rglob("*") if file.is_file())
    shown = [file for file in below if not any(part.startswith(".") for part in file.parts)]
    text = [file for file in shown if file.suffix.lower() in SUFFIXES]
    if not text:
        raise ValueError(f"data.path={path}: there is no {', '.join(SUFFIXES)} file in this folder or below")
    counts = {"hidden": len(below) - len(shown), f"not {', '.join(SUFFIXES)}": len(shown) - len(text)}
    skipped = "; ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    said = f"files read: {len(text):,}, skipped: {len(below) - len(text):,}" + (f" ({skipped})" if skipped else "")
    return {str(Path(path) / file): place / file for file in text}, said


def own_documents(path: str) -> dict[str, str]:
    """The texts of `own_files`, by the same names; of a folder, stderr says how many files were read and skipped.

    A .gz file is unpacked. A byte order mark is dropped, and line ends become "\\n".

    Raises:
        ValueError: there is no such path, no such file in the folder, or a file is empty, not UTF-8 or holds a NUL.
    """
    files, said = _files(path)
    documents = {name: _text(name, file) for name, file in files.items()}
    if said:
        print(f"data.path={path}: {said}", file=sys.stderr)
    return documents


def _text(name: str, file: Path) -> str:
    packed = file.suffix.lower() == ".gz"
    try:
        content = file.read_bytes()
        if packed:
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name} cannot be read: {error}") from error
    unpacked = " (unpacked)" if packed else ""
    if (nul := content.find(b"\0")) >= 0:
        raise ValueError(f"{name} is no text: byte {nul} is a NUL{unpacked}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: byte {error.start}{unpacked}") from error
    del content
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{name} holds no text")
    return text
