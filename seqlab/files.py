"""Files that are whole or absent: written to a temporary name in the same folder, then renamed."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a whole file or none.

    Raises:
        OSError: that names the file, where the folder is read-only or the disk is full; what was there stays.
    """
    temporary = temporary_name(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Plain JSON, and no NaN in it."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    write_text(path, "".join(json.dumps(record, allow_nan=False) + "\n" for record in records))


def at_home(path: str | Path) -> Path:
    """A path whose leading ~ or ~user is the home folder; as it stands where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def temporary_name(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(f".{path.name}.tmp")


def unwritable(path: Path, error: OSError) -> OSError:
    """The same error, which names the file also where the system's does not (a full disk), its temporary removed."""
    with contextlib.suppress(OSError):  # a folder that became read-only keeps it; the next start removes it
        temporary_name(path).unlink(missing_ok=True)
    return OSError(error.errno, error.strerror, str(path))


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder."""
    for path in folder.glob(".*.tmp"):
        path.unlink()
