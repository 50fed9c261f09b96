"""A cache folder for tokenizers and for token ids, which are memory-mapped."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import numpy as np

CHARACTERS_AT_ONCE = 2**20


def digest(*texts: str) -> str:
    """A name for texts: the first 16 hexadecimal digits of the SHA-256 of each text followed by its length."""
    sha = hashlib.sha256()
    for text in texts:
        length = 0
        for start in range(0, len(text), CHARACTERS_AT_ONCE):
            content = text[start : start + CHARACTERS_AT_ONCE].encode()
            sha.update(content)
            length += len(content)
        sha.update(length.to_bytes(8, "big"))
    return sha.hexdigest()[:16]


class Cache:
    """Files in a folder, written atomically. If writing fails, it prints a warning to stderr and works without files.

    Args:
        folder: the folder, created on the first write.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def text(self, name: str, make: Callable[[], str]) -> str:
        """The text in a file. If there is no file, it calls `make` and saves the text."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (self.folder / name).read_text(encoding="utf-8")
        text = make()
        self._keep(name, lambda file: file.write(text.encode()))
        return text

    def array(self, name: str, make: Callable[[], Iterable[np.ndarray]]) -> np.ndarray:
        """The memory-mapped array in a file; if there is none, saved from pieces of `make`, (length,) uint16 each."""
        if (found := self._mapped(name)) is not None:
            return found
        pieces = [*make()]

        def write(file: IO[bytes]) -> None:
            header = np.lib.format.header_data_from_array_1_0(pieces[0])
            np.lib.format.write_array_header_1_0(file, header | {"shape": (sum(map(len, pieces)),)})
            for piece in pieces:
                file.write(piece.tobytes())

        self._keep(name, write)
        found = self._mapped(name)
        return np.concatenate(pieces) if found is None else found

    def _mapped(self, name: str) -> np.ndarray | None:
        try:
            return np.load(self.folder / name, mmap_mode="r")
        except (OSError, ValueError, EOFError):  # absent, or truncated by a crash
            return None

    def _keep(self, name: str, write: Callable[[IO[bytes]], object]) -> None:
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                write(file)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            print(f"warning: {self.folder}: {error.strerror}: nothing is cached there, and more memory is used",
                  file=sys.stderr)  # fmt: skip
