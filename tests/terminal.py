"""A real terminal (a pty) of a known size, and what arrives there."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Callable
from threading import Thread
from typing import IO

STYLES = re.compile(r"\x1b\[[0-9;]*m")  # bold, dim, colours


def in_terminal(columns: int, work: Callable[[IO[str]], object]) -> str:
    """What `work` writes to the file that it is given: a terminal of so many columns."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    arrived: list[bytes] = []
    thread = Thread(target=_read, args=(reader, arrived))
    thread.start()
    try:
        with open(writer, "w", encoding="utf-8") as file:
            work(file)
    finally:
        thread.join()
        os.close(reader)
    return b"".join(arrived).decode().replace("\r\n", "\n")


def _read(reader: int, arrived: list[bytes]) -> None:
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # Linux's end of a terminal that nobody writes to any more
            return
        if not part:
            return
        arrived.append(part)
