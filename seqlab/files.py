"""Atomic file writes: write to a temporary name in the same folder, then rename."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        OSError: the folder is read-only or the disk is full. The error names the file; an existing file is kept.
    """
    temporary = temporary_name(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON atomically; NaN and infinity raise ValueError."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, atomically; NaN and infinity raise ValueError."""
    write_text(path, "".join(json.dumps(record, allow_nan=False) + "\n" for record in records))


def at_home(path: str | Path) -> Path:
    """Expand a leading ~ or ~user to the home folder. The path is unchanged if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def temporary_name(path: Path) -> Path:
    """The temporary path to which a file is written before it is renamed."""
    return path.with_name(f".{path.name}.tmp")


def unwritable(path: Path, error: OSError) -> OSError:
    """Remove the temporary file and return an error that names `path`, which the system's may not (a full disk)."""
    with contextlib.suppress(OSError):  # fails if the folder became read-only; the next start removes the file
        temporary_name(path).unlink(missing_ok=True)
    return OSError(error.errno, error.strerror, str(path))


def remove_temporaries(folder: Path) -> None:
    """Remove temporary files that a killed process left in a folder."""
    for path in folder.glob(".*.tmp"):
        path.unlink()
