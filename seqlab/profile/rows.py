"""Rows: what a suite measured, as lines of a CSV file that anyone can hand in.

A line is one measure of one run: a model, a cell, an ability, a seed. Its score follows from its value and the two ends
of its scale, and is checked against them when a file is read.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from seqlab.errors import InputError
from seqlab.files import write_text
from seqlab.profile.scores import Scale
from seqlab.profile.suite import Ability, Suite, are_about

SCHEMA = 1
REFERENCE = Path(__file__).parent / "reference.csv"
SLACK = 0.002  # of a score that a file states: values have six digits
LARGEST = 2**26  # bytes of a file
LONGEST = 1000  # characters of a text, but for a curve
FORMULA = ("=", "+", "-", "@")  # a spreadsheet computes what begins so
HIGHEST = 1e6  # of a score or its bounds, and their negative
OVER_BUDGET = 3  # times the budget are the most parameters
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Row:
    """A measure of a run. Empty values are None.

    schema: of these columns. suite, suite_version, cell, ability, metric: what was measured.
    model, options: whose it is: a name, and the overrides that make it another model than its name says.
    seed, budget, parameters, widths, steps, targets, rate: how it was trained: budget is the number of parameters that
        was aimed at, widths the values that were fitted to it, targets the number of targets that training saw.
    value, low, high: the metric on the test with its 95% interval over cases.
    floor, shortcut, best, optimum: the scale (seqlab/profile/scores.py), with the names of its ends.
    score: the value on it.
    curve: values over lengths, "8:1 16:0.5".
    seconds, version, machine: of training, of SeqLab, and where.
    reason: why there is no value.
    """

    schema: int
    suite: str
    suite_version: int
    cell: str
    ability: Ability
    metric: str
    model: str
    options: str
    seed: int
    budget: int
    parameters: Count | None = None
    widths: str = ""
    steps: Count | None = None
    targets: Count | None = None
    rate: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    shortcut: str = ""
    best: float | None = None
    optimum: str = ""
    score: float | None = None
    curve: str = ""
    seconds: float | None = None
    version: str = ""
    machine: str = ""
    reason: str = ""

    @property
    def label(self) -> str:
        """The model's name in tables."""
        return f"{self.model} {self.options}".strip()

    @property
    def run(self) -> tuple[str, str, int]:
        """Whose run this is a measure of: model, cell, seed."""
        return self.label, self.cell, self.seed

    @property
    def scale(self) -> Scale | None:
        """The scale of the score."""
        if self.floor is None or self.best is None:
            return None
        return Scale(self.floor, self.best, self.shortcut, self.optimum)

    @property
    def bounds(self) -> tuple[float, float, float] | None:
        """The score with its interval over cases, low before high."""
        if self.score is None or self.scale is None:
            return None
        ends = [self.score if end is None else self.scale.score(end) for end in (self.low, self.high)]
        return self.score, min(ends), max(ends)

    @property
    def points(self) -> list[tuple[int, float]]:
        """The curve: (length, value).

        Raises:
            ValueError: it is written otherwise, or a length has more than nine digits.
        """
        pairs = [pair.split(":") for pair in self.curve.split()]
        if any(len(length) > 9 for length, _ in pairs):  # Python may read longer ones, or refuse them
            raise ValueError("a length of more than nine digits")
        return [(int(length), float(value)) for length, value in pairs]


COLUMNS = tuple(Row.__dataclass_fields__)
TEXTS = tuple(name for name, field in Row.__dataclass_fields__.items() if field.type is str)
READER = TypeAdapter(Row)


def text_of(rows: Iterable[Row]) -> str:
    """Rows as the text of a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    return "" if value is None else repr(float(value)) if isinstance(value, float) else str(value)


def one_line(text: str) -> str:
    """A reason as a file of rows may have it."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    plain = " ".join(plain.split())
    return (f"it says {plain}" if plain.startswith(tuple(FORMULA)) else plain)[:LONGEST]


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write a file of rows, in place of what it has. Raises OSError, which names the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text_of(rows))


def read_rows(file: Path) -> list[Row]:
    """Read a file of rows; each line is checked by itself, and that no measure of a run is there twice.

    Raises:
        InputError: it is no such file, or a line is wrong; the error names the line and the column.
    """
    try:
        if file.exists() and not file.is_file():
            raise InputError(f"{file} is no file: nothing is read from folders and devices")
        if (size := file.stat().st_size) > LARGEST:
            raise InputError(f"{file}: {size:,} bytes; a file of rows has at most {LARGEST:,}")
        with open(file, encoding="utf-8", newline="") as opened:
            reader = csv.reader(opened, strict=True)
            heading = tuple(next(reader, ()))
            if heading != COLUMNS:
                raise InputError(f"{file} is no file of rows of schema {SCHEMA}: {_difference(heading)}")
            lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is no file of rows: {error}") from error
    rows, seen = [], {}
    for number, line in enumerate(lines, 2):
        row = _read(file, number, line)
        first = seen.setdefault((row.suite, *row.run, row.metric), number)
        if first != number:
            raise InputError(f"{file}: line {number}: {row.metric} of {row.label} again; line {first} has it")
        rows.append(row)
    return rows


def _difference(heading: Sequence[str]) -> str:
    missing = [name for name in COLUMNS if name not in heading]
    foreign = [name for name in heading if name not in COLUMNS]
    parts = [f"it lacks {', '.join(missing)}"] if missing else []
    parts += [f"{', '.join(map(repr, foreign))} is no column"] if foreign else []
    return "; ".join(parts) or f"its columns must be {', '.join(COLUMNS)}, in this order"


def _read(file: Path, number: int, line: Sequence[str]) -> Row:
    place = f"{file}: line {number}"
    if len(line) != len(COLUMNS):
        raise InputError(f"{place}: {len(line)} cells; there are {len(COLUMNS)} columns")
    for name, text in zip(COLUMNS, line, strict=True):
        if not text.isprintable():
            raise InputError(f"{place}: {name} {text[:40]!a}: a character that is not printable")
        if len(text) > LONGEST and name != "curve":
            raise InputError(f"{place}: {name} has {len(text):,} characters; allowed: {LONGEST:,}")
        # own overrides may begin with +
        if text.lstrip("+" if name == "options" else "").startswith(FORMULA) and name in TEXTS:
            raise InputError(f"{place}: {name} {text[:40]!r}: begins as a formula of a spreadsheet")
    cells = {name: text for name, text in zip(COLUMNS, line, strict=True) if text}
    if cells.get("schema") != str(SCHEMA):
        raise InputError(f"{place}: schema {cells.get('schema', '')}: this version reads schema {SCHEMA}")
    try:
        row = READER.validate_python({"options": "", **cells})
        _ = row.points
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        said = f"{problem['msg'][0].lower()}{problem['msg'][1:]}"
        raise InputError(f"{place}: {name} {cells.get(name, '')!r}: {said}") from error
    except ValueError as error:
        raise InputError(
            f"{place}: curve {cells['curve'][:40]!r}: allowed: LENGTH:VALUE with blanks between"
        ) from error
    numbers = [(name, value) for name, value in vars(row).items() if isinstance(value, float)]
    for name, value in [*numbers, *(("curve", value) for _, value in row.points)]:
        if not math.isfinite(value):
            raise InputError(f"{place}: {name} {value}: a finite number is needed")
    if row.value is not None:
        _check_value(row, row.value, place)
        _check_score(row, place)
    elif row.score is not None or not row.reason:
        raise InputError(f"{place}: a row without a value has no score, and a reason")
    return row


def _check_value(row: Row, value: float, place: str) -> None:
    if row.steps is None or row.parameters is None:
        raise InputError(f"{place}: a value needs steps and parameters")
    if not (value if row.low is None else row.low) <= value <= (value if row.high is None else row.high):
        raise InputError(f"{place}: value {value}: not between low {row.low} and high {row.high}")


def _check_score(row: Row, place: str) -> None:
    if row.scale is None or row.score is None:
        if row.score is not None or not row.reason:
            raise InputError(f"{place}: a value needs floor, best and score, or a reason why it has no score")
        return
    if row.scale.floor == row.scale.best:
        raise InputError(f"{place}: floor and best are both {row.scale.best}")
    assert row.value is not None
    right = row.scale.score(row.value)
    if abs(row.score - right) > SLACK * max(1.0, abs(right)):
        raise InputError(f"{place}: score {row.score}: value, floor and best give {right:.4f}")
    for bound in row.bounds or ():
        if not abs(bound) <= HIGHEST:
            raise InputError(f"{place}: score {row.score:g} with a bound {bound:g}; allowed: up to {HIGHEST:g}")


def refuse_others(rows: Iterable[Row], name: str, suite: Suite, file: Path) -> None:
    """Raise InputError unless rows belong to a suite: its version, cells, measures, seeds and budgets.

    Args:
        rows: of the file.
        name, suite: what they must belong to.
        file: for the message.
    """
    measures = {(cell, one.ability, one.metric) for cell, part in suite.cells.items() for one in part.measures}
    for row in rows:
        who = f"{file}: {row.label}, {row.cell}"
        if (row.suite, row.suite_version) != (name, suite.version):
            raise InputError(f"{who}: of suite {row.suite} {row.suite_version}; here it is {name} {suite.version}")
        if (row.cell, row.ability, row.metric) not in measures:
            raise InputError(f"{who}: suite {name} has no {row.metric} for {row.ability} there")
        if row.budget != suite.parameters:
            raise InputError(f"{who}: a budget of {row.budget:,} parameters; suite {name} has {suite.parameters:,}")
        if row.parameters is not None and row.parameters > OVER_BUDGET * row.budget:
            raise InputError(f"{who}: {row.parameters:,} parameters; allowed: {OVER_BUDGET} times the budget")
        if row.seed not in suite.seeds:
            raise InputError(f"{who}: seed {row.seed}; suite {name} has {', '.join(map(str, suite.seeds))}")
        targets = suite.cells[row.cell].targets
        if row.targets is not None and not are_about(row.targets, targets):
            raise InputError(f"{who}: {row.targets:,} targets; suite {name} has {targets:,} there")
        if row.steps is not None and row.steps != (steps := suite.cells[row.cell].steps):
            raise InputError(f"{who}: {row.steps} steps; suite {name} has {steps}")
