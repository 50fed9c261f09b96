"""Lays out a table for the width of a terminal: chooses columns, or shows a list on a narrow one.

Numbers and words are never truncated or broken; names wrap at spaces. If the output is not a terminal (a pipe, a file),
a table has all columns, and each row is one line.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 60  # a terminal of fewer columns gets a list
UNKNOWN = 80  # assumed width of a terminal that reports none
GAP = 2  # spaces between two columns of a table; a list has one more between its items


class Column(NamedTuple):
    """A column of a table.

    kind: name (identifies the row; repeated in every part of a split table), number (never broken) or text.
    rank: if columns must be left out, those of low rank are kept.
    """

    heading: str
    kind: Literal["name", "number", "text"] = "number"
    rank: int = 0


@dataclass
class Sheet:
    """A table without a fixed width.

    columns: in order, name columns first.
    blocks: blocks of rows with one cell per column. A cell may be a Text with a style.
    title, notes: paragraphs above and below the table.
    elsewhere: where the complete table is found. If set, columns that do not fit are left out; if empty, they are shown
        in further tables below.
    """

    columns: Sequence[Column]
    blocks: Sequence[Sequence[Sequence[str | Text]]]
    title: str = ""
    notes: Sequence[str] = ()
    elsewhere: str = ""
    rows: list[list[list[Text]]] = field(init=False)  # the blocks, each cell on one line

    def __post_init__(self) -> None:
        self.columns = [column._replace(heading=plain(column.heading)) for column in self.columns]
        self.rows = [[[_text(cell) for cell in row] for row in block] for block in self.blocks]


class Fit(NamedTuple):
    """The index of a column, and its minimum and maximum width."""

    place: int
    column: Column
    narrowest: int
    widest: int


def show(*sheets: Sheet, file: TextIO | None = None) -> None:
    """Print tables to `file` (default: stdout), fitted to its width if it is a terminal, else complete."""
    place = sys.stdout if file is None else file
    width = width_of(place)
    place.write("\n".join(_shown(sheet, place, width) for sheet in sheets))


def _shown(sheet: Sheet, file: TextIO, width: int | None) -> str:
    columns = fits(sheet)
    parts = [columns] if width is None else parts_of(columns, width, leave_out=bool(sheet.elsewhere))
    console = Console(
        file=file,
        width=width or max(1, _widest(columns)),
        height=25,
        highlight=False,
        force_jupyter=False,  # text in a notebook too, so that it can be redirected
    )
    with console.capture() as printed:
        if sheet.title:
            _say(console, sheet.title, width)
        for part in parts:
            console.print(_table(sheet, part, width), crop=False)
            console.print()
        for line in _listed(sheet, columns, width or 0) if not parts else ():
            console.print(line, soft_wrap=True)
        for note in [*sheet.notes, *_left_out(sheet, columns, parts, width)]:
            _say(console, note, width)
    lines = printed.get().rstrip("\n").split("\n")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def width_of(file: TextIO) -> int | None:
    """The width of a terminal in columns (the variable COLUMNS has priority); None if the file is not a terminal."""
    if not file.isatty():
        return None
    columns = os.environ.get("COLUMNS", "")
    return (int(columns) if columns.isdecimal() else 0) or os.get_terminal_size(file.fileno()).columns or UNKNOWN


def plain(text: str) -> str:
    r"""Put a text on one line and escape control characters.

    >>> print(plain("two\nlines, \x1b[31mred"))
    two lines, \x1b[31mred
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in " ".join(text.split()))


def _text(cell: str | Text) -> Text:
    return Text(plain(str(cell)), cell.style if isinstance(cell, Text) else "")


def fits(sheet: Sheet) -> list[Fit]:
    """The minimum and maximum width of each column. Columns without any value are left out."""
    found = []
    for place, column in enumerate(sheet.columns):
        cells = [row[place].plain for block in sheet.rows for row in block]
        if column.kind != "name" and not any(cells):
            continue
        wrapping = [column.heading] if column.kind == "number" else [column.heading, *cells]
        whole = [*(word for text in wrapping for word in text.split()), *(cells if column.kind == "number" else ())]
        narrowest, widest = (max(map(cell_len, texts), default=0) for texts in (whole, [column.heading, *cells]))
        found.append(Fit(place, column, narrowest, widest))
    return found


def parts_of(columns: Sequence[Fit], width: int, leave_out: bool) -> list[list[Fit]]:
    """Split columns into tables that fit a width; empty if only a list fits.

    Args:
        columns: all columns.
        width: the width available to each table.
        leave_out: keep a single table, with the columns of lowest rank that fit.
    """
    names = [fit for fit in columns if fit.column.kind == "name"]
    others = [fit for fit in columns if fit.column.kind != "name"]
    if width < NARROW or _narrowest(names) > width:
        return []
    parts = [names]
    for fit in sorted(others, key=lambda fit: fit.column.rank) if leave_out else others:
        if _narrowest([*parts[-1], fit]) <= width:
            parts[-1] = [*parts[-1], fit]
        elif parts == [names] or (not leave_out and _narrowest([*names, fit]) > width):
            return []
        elif not leave_out:
            parts.append([*names, fit])
    return [sorted(part) for part in parts]


def _narrowest(part: Sequence[Fit]) -> int:
    return sum(fit.narrowest for fit in part) + GAP * (len(part) - 1)


def _widest(part: Sequence[Fit]) -> int:
    return sum(fit.widest for fit in part) + GAP * (len(part) - 1)


def _table(sheet: Sheet, part: Sequence[Fit], width: int | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    spare = _widest(part) if width is None else width - _narrowest(part)
    for fit in part:
        more = min(spare, fit.widest - fit.narrowest)
        spare -= more
        justify = "right" if fit.column.kind == "number" else "left"
        table.add_column(Text(fit.column.heading), justify=justify, width=fit.narrowest + more, overflow="fold")
    for block in sheet.rows:
        for row in block:
            table.add_row(*(row[fit.place] for fit in part))
        table.add_section()
    return table


def _listed(sheet: Sheet, columns: Sequence[Fit], width: int) -> Iterator[Text]:
    """The lines of a list: for each row its names on one line, then its other cells, each after its heading."""
    for block in sheet.rows:
        for row in block:
            names = [row[fit.place] for fit in columns if fit.column.kind == "name"]
            items = [
                Text(f"{fit.column.heading} ".lstrip()) + row[fit.place]
                for fit in columns
                if fit.column.kind != "name" and row[fit.place]
            ]
            yield from flowed(names, " " * GAP, width)
            for line in flowed(items, " " * (GAP + 1), width - GAP):
                yield Text(" " * GAP) + line
        yield Text()


def flowed(pieces: Iterable[Text], gap: str, width: int) -> list[Text]:
    """Fill lines of a given width with pieces. A longer piece is broken at spaces, but words are never broken."""
    lines: list[Text] = []
    for piece in pieces:
        words = [piece] if cell_len(piece.plain) <= width else piece.split(" ")
        for place, word in enumerate(words):
            blank = " " if place else gap
            if lines and cell_len(lines[-1].plain + blank + word.plain) <= width:
                lines[-1] = lines[-1] + blank + word
            else:
                lines.append(word)
    return lines


def _say(console: Console, paragraph: str, width: int | None) -> None:
    text = Text(plain(paragraph))
    for line in [text] if width is None else flowed([text], " ", width):
        console.print(line, soft_wrap=True)


def _left_out(sheet: Sheet, columns: Sequence[Fit], parts: Sequence[Sequence[Fit]], width: int | None) -> list[str]:
    """A sentence that lists the columns left out, if any."""
    left = [fit.column.heading for fit in columns if parts and not any(fit in part for part in parts)]
    if not left:
        return []
    room = f"a terminal of {_narrowest(columns)} columns or {sheet.elsewhere}"
    return [f"Left out at {width} columns: {'; '.join(left)}. To see all: {room}."]
