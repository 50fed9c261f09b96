"""What a checkpoint stores about the data of a run: the values fitted to them, and size and SHA-256 of their files.

So loading a run needs no data files. Resuming or evaluating it reads the files again and reports which of them have
changed.
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
    """Values fitted to the training data that are needed to use the model. Empty for most data.

    A subclass declares the values: finite numbers, strings, and lists of them. A checkpoint may come from an untrusted
    source, so types are strict and unknown names are refused.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class FileRecord(BaseModel):
    """Fingerprint of a file.

    size: in bytes.
    sha256: of its content, in hexadecimal.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    size: int
    sha256: str


FileRecords = Mapping[str, FileRecord]  # by the user-visible name


class Kept(NamedTuple):
    """The content of a checkpoint about the data, as plain types. `DataModule.restore` and `file_records` validate it.

    fitted: the values of a `Fitted`.
    data_files: the records of the data module's files.
    task_files: the records of additional files that the task reads; empty for most tasks.
    """

    fitted: Any
    data_files: Any
    task_files: Any = MappingProxyType({})


Model = TypeVar("Model", bound=BaseModel)


def validated(kind: type[Model], value: Any, name: str) -> Model:
    """Validate a value from a checkpoint as a pydantic model.

    Args:
        kind: the expected model.
        value: plain types.
        name: name of the value, for the message.

    Raises:
        ValueError: the value is invalid; the message is one line with place and reason.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ValueError(_problem(error, name)) from error


def _problem(error: ValidationError, name: str) -> str:
    first = error.errors()[0]
    return f"{'.'.join([name, *map(str, first['loc'])])}: {first['msg'][0].lower()}{first['msg'][1:]}"


def file_records(value: Any, name: str) -> FileRecords:
    """Validate the file records of a checkpoint.

    Raises:
        ValueError: the value is not a mapping of valid records.
    """
    if not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        raise ValueError(f"{name}: files by their names are needed")
    return {file: validated(FileRecord, record, f"{name}.{file}") for file, record in value.items()}


def plain(records: FileRecords) -> dict[str, Any]:
    """Convert records to plain types, as a checkpoint stores them."""
    return {name: record.model_dump() for name, record in records.items()}


def records_of(files: Mapping[str, Path]) -> FileRecords:
    """Compute the records of the files as they are now.

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
    """Raise ValueError if files differ. The message, in one line, names each differing file and how it differs."""
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
