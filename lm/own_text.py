"""Reading the user's own text: a file, or a folder of .txt, .md and .gz files, one document each."""

import gzip
import sys
import zlib
from pathlib import Path

from seqlab.files import at_home

SUFFIXES = (".txt", ".md", ".gz")


def own_files(path: str) -> dict[str, Path]:
    """{name: path} of the files to read: a single file with any suffix, or the text files of a folder and below.

    In a folder, hidden files and folders (with a leading dot) are skipped, and files that do not end in .txt, .md or
    .gz, in any case. Files are sorted by path.

    Raises:
        ValueError: there is no such path, or no such file in the folder.
    """
    return _files(path)[0]


def _files(path: str) -> tuple[dict[str, Path], str]:
    """The files to read, and for a folder the numbers of read and skipped files as text."""
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
    summary = f"files read: {len(text):,}, skipped: {len(below) - len(text):,}" + (f" ({skipped})" if skipped else "")
    return {str(Path(path) / file): place / file for file in text}, summary


def own_documents(path: str) -> dict[str, str]:
    """The texts of `own_files`, by the same names. For a folder, stderr gets the numbers of read and skipped files.

    Gzip files are decompressed. A byte order mark is removed, and line ends become "\\n".

    Raises:
        ValueError: there is no such path, no such file in the folder, or a file is empty, not UTF-8 or contains a NUL.
    """
    files, summary = _files(path)
    documents = {name: _text(name, file) for name, file in files.items()}
    if summary:
        print(f"data.path={path}: {summary}", file=sys.stderr)
    return documents


def readable_documents(path: str) -> dict[str, str]:
    """As `own_documents`, but a file of a folder that is no text is left out, and stderr says why: for a search.

    Raises:
        ValueError: there is no such path, or nothing to read.
    """
    files, _ = _files(path)
    documents, reasons = {}, []
    for name, file in files.items():
        try:
            documents[name] = _text(name, file)
        except ValueError as error:
            reasons.append(str(error))
    if not documents:
        raise ValueError(reasons[0] if len(files) == 1 else f"data.path={path}: no file is text: {reasons[0]}")
    for reason in reasons:
        print(f"left out: {reason}", file=sys.stderr)
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
        raise ValueError(f"{name} is not text: byte {nul} is a NUL{unpacked}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: byte {error.start}{unpacked}") from error
    del content
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{name} contains no text")
    return text
