"""Tables in Markdown, for files and pipes; a terminal gets them fitted to its width (seqlab/show/layout.py)."""

import re
import sys
from collections.abc import Iterable
from itertools import chain

from rich.text import Text

from seqlab.show.layout import Sheet, show, width_of


def pipes(cells: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def plain(text: str) -> str:
    r"""A text in a cell of Markdown that shows as it is: no new cell or line, no tag, link, picture, code or emphasis.

    >>> print(plain("(ab|ba)* [a]"))
    (ab\|ba)\* \[a]
    """
    return re.sub(r"[\\|*\[`]", r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;")


def markdown(sheet: Sheet) -> str:
    """The rows of a table under its headings; what is bold on a terminal is bold here."""
    headings = [plain(column.heading) for column in sheet.columns]
    lines = [headings, ["---"] * len(headings), *([*map(_cell, row)] for row in chain.from_iterable(sheet.rows))]
    return "".join(f"{pipes(line)}\n" for line in lines)


def _cell(text: Text) -> str:
    return f"**{plain(text.plain)}**" if str(text.style) == "bold" else plain(text.plain)


def show_or_write(*sheets: Sheet) -> None:
    """Print tables on stdout: fitted to a terminal; elsewhere in Markdown, without titles and notes."""
    if width_of(sys.stdout) is None:
        sys.stdout.write("\n".join(map(markdown, sheets)))
    else:
        show(*sheets)
