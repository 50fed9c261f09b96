"""What a checkpoint keeps of the data behind a run: what was fitted to them, and the size and SHA-256 of their files.

Whoever loads a run needs no file, then. Who reads the files again, to go on with the run or to measure it, learns
which of them is another one.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_FILES_NAMED = 6
DIGITS_SHOWN = 8  # of a SHA-256


class Fitted(BaseModel):
    """What was fitted to the training data and is needed to use the model. Of most data: nothing.

    A subclass names the values: numbers, which are finite, texts, and lists of them. A checkpoint may come from a
    stranger, so types are strict and no name is taken that the class does not have.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class FileRecord(BaseModel):
    """What a file is recognised by.

    size: in bytes.
    sha256: of its content, in hexadecimal.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    size: int
    sha256: str


FileRecords = Mapping[str, FileRecord]  # by the name that a user knows


class Kept(NamedTuple):
    """As a checkpoint holds it: plain types, which `DataModule.restore` and `file_records` look at.

    fitted: the values of a `Fitted`.
    data_files: the records of the files of the data module.
    task_files: of those that the task reads beside them; of most tasks none.
    """

    fitted: Any
    data_files: Any
    task_files: Any = MappingProxyType({})


Model = TypeVar("Model", bound=BaseModel)


def validated(kind: type[Model], value: Any, name: str) -> Model:
    """What a checkpoint holds, if it is what it should be.

    Args:
        kind: what it should be.
        value: plain types.
        name: of the value, for the message.

    Raises:
        ValueError: one line that says what is wrong where.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ValueError(_problem(error, name)) from error


def _problem(error: ValidationError, name: str) -> str:
    first = error.errors()[0]
    return f"{'.'.join([name, *map(str, first['loc'])])}: {first['msg'][0].lower()}{first['msg'][1:]}"


def file_records(value: Any, name: str) -> FileRecords:
    """The records that a checkpoint holds.

    Raises:
        ValueError: they are none.
    """
    if not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        raise ValueError(f"{name}: files by their names are needed")
    return {file: validated(FileRecord, record, f"{name}.{file}") for file, record in value.items()}


def plain(records: FileRecords) -> dict[str, Any]:
    """Records as a checkpoint holds them."""
    return {name: record.model_dump() for name, record in records.items()}


def records_of(files: Mapping[str, Path]) -> FileRecords:
    """The records of files as they are now.

    Raises:
        ValueError: a file cannot be read.
    """
    return {name: _record(name, path) for name, path in files.items()}


def _record(name: str, path: Path) -> FileRecord:
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return FileRecord(size=file.tell(), sha256=sha256)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from error


def refuse_changes(before: FileRecords, now: FileRecords) -> None:
    """Raise ValueError, one line, unless both are the same files: it names each that differs, and how."""
    found = sorted(
        _difference(name, before.get(name), now.get(name))
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name)
    )
    if found:
        more = f"; and {len(found) - MAX_FILES_NAMED} more" if len(found) > MAX_FILES_NAMED else ""
        raise ValueError(f"these are not the data of the run: {'; '.join(found[:MAX_FILES_NAMED])}{more}")


def _difference(name: str, before: FileRecord | None, now: FileRecord | None) -> str:
    if before is None:
        return f"{name} was not there"
    if now is None:
        return f"{name} is gone"
    return f"{name} was {_shown(before)}, and is {_shown(now)}"


def _shown(record: FileRecord) -> str:
    return f"{record.size:,} bytes with SHA-256 {record.sha256[:DIGITS_SHOWN]}"
