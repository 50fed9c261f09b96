"""The user's own text: a file, or a folder of .txt, .md and .gz files, each a document."""

import gzip
import zlib
from pathlib import Path

from seqlab.files import at_home

SUFFIXES = (".txt", ".md", ".gz")


def own_documents(path: str) -> list[str]:
    """The texts of a file (whatever its name ends in), or of all files in a folder and below, sorted by path.

    A .gz file is unpacked. A byte order mark is dropped, and line ends become "\\n".

    Raises:
        ValueError: there is no such path, no such file in the folder, or a file is empty or not UTF-8.
    """
    place = at_home(path)
    if not place.exists():
        raise ValueError(f"data.path={path}: there is no such file or folder")
    found = [place]
    if place.is_dir():
        found = sorted(file for file in place.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise ValueError(f"data.path={path}: there is no {', '.join(SUFFIXES)} file in this folder or below")
    return [_text(file) for file in found]


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        unpacked = " (unpacked)" if file.suffix == ".gz" else ""
        raise ValueError(f"{file} is not UTF-8: byte {error.start}{unpacked}") from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{file} holds no text")
    return text
