"""Tables in a real terminal: at every width each number and each word is whole, and no line is too long."""

import io
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from seqlab.show.layout import NARROW, Column, Sheet, show
from tests.terminal import STYLES, in_terminal

COLUMNS = [Column("metric", "name"), Column("best"), Column("95%", rank=1), Column("slow and steady", rank=2)]
COLUMNS += [Column("chance", rank=1), Column("note", "text", rank=3)]
ROWS = [
    ["loss", Text("0.250", "bold"), "", "-", "1.000", "a note of some words"],
    ["rule 1", "0.500", "0.20-0.80", "0.25 [0.25-0.25]", "0.125", ""],
]
WIDE = Sheet([Column("data", "name"), *map(Column, "abc")], [[["L1", "1" * 30, "2" * 30, "3" * 20]]])


@pytest.fixture(autouse=True, scope="module")
def environment():
    """A terminal that can do everything, and nobody's own wishes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
            patch.delenv(name, raising=False)
        yield patch


def sheet(**options):
    return Sheet(COLUMNS, [ROWS[:1], ROWS[1:]], title="lstm on L1", notes=["what it means"], **options)


def shown(columns, *sheets):
    """The lines that a terminal of so many columns shows, without styles."""
    text = STYLES.sub("", in_terminal(columns, lambda file: show(*sheets, file=file)))
    return [line.rstrip() for line in text.split("\n")]


words = st.text(st.characters(categories=["L", "N", "S"]), min_size=1, max_size=14)
names = st.lists(words, min_size=1, max_size=4).map(" ".join)
numbers = st.one_of(
    st.floats(allow_nan=False).map("{:.3f}".format),
    st.sampled_from(["-", "", "5.4e-20", "110.56 [110.56-110.56]", "0.250 ± 0.100 (n=1)"]),
)


@st.composite
def any_sheet(draw, elsewhere):
    headings = draw(st.lists(names, min_size=1, max_size=9, unique=True))
    columns = [Column(draw(names), "name"), *(Column(heading, rank=draw(st.integers(0, 3))) for heading in headings)]
    row = st.tuples(names, *[numbers] * len(headings))
    blocks = draw(st.lists(st.lists(row, min_size=1, max_size=3), min_size=1, max_size=2))
    return Sheet(columns, blocks, draw(names), [draw(names)], elsewhere)


def cells(made, place):
    return [row[place].plain for block in made.rows for row in block]


@settings(deadline=None, max_examples=40)
@given(any_sheet(elsewhere=""), st.integers(20, 220))
def test_every_word_and_number_arrives_whole_on_lines_that_are_not_too_long(made, columns):
    lines = shown(columns, made)
    assert all(cell_len(line) <= columns or " " not in line.strip() for line in lines)
    said = [made.title, *made.notes]
    for place, column in enumerate(made.columns):
        if any(cells(made, place)):
            said += cells(made, place) if column.kind == "name" else [column.heading, *cells(made, place)]
    assert Counter(" ".join(said).split()) <= Counter(" ".join(lines).split())
    if columns >= 120 + NARROW:  # a table: then a number with its deviation is on one line, too
        for place in range(1, len(made.columns)):
            assert all(any(cell in line for line in lines) for cell in cells(made, place))


@settings(deadline=None, max_examples=40)
@given(any_sheet(elsewhere="FILE"), st.integers(20, 220))
def test_a_column_stands_whole_or_is_named_as_left_out(made, columns):
    lines = shown(columns, made)
    text = " ".join(" ".join(lines).split())
    left = text.partition(f"Left out at {columns} columns: ")[2].partition(". To see all: a terminal of ")[0]
    for place, column in enumerate(made.columns):
        if column.heading not in left.split("; ") and any(cells(made, place)):
            assert Counter(" ".join(cells(made, place)).split()) <= Counter(text.split())
        elif any(cells(made, place)):
            assert column.rank >= min(column.rank for column in made.columns[1:])


@settings(deadline=None, max_examples=40)
@given(any_sheet(elsewhere="FILE"))
def test_a_terminal_as_wide_as_is_said_has_all(made):
    text = " ".join(" ".join(shown(60, made)).split())
    wide = re.search(r"a terminal of (\d+) columns or FILE\.", text)
    if wide:
        assert "Left out" in " ".join(shown(int(wide[1]) - 1, made))
        assert "Left out" not in " ".join(shown(int(wide[1]), made))


@settings(deadline=None, max_examples=40)
@given(any_sheet(elsewhere="FILE"))
def test_where_there_is_no_terminal_a_row_is_one_line_with_every_cell(made):
    show(made, file=(file := io.StringIO()))
    lines = file.getvalue().splitlines()
    for block in made.rows:
        for row in block:
            assert " ".join(cell.plain for cell in row).split() in [line.split() for line in lines]
    assert made.title in lines
    assert made.notes[0] in lines
    assert "\x1b" not in file.getvalue()
    assert not any(line != line.rstrip() for line in lines)


def test_columns_of_low_rank_stand_and_the_others_are_named():
    narrow = sheet(elsewhere="summary.json")
    narrow.columns[0] = narrow.columns[0]._replace(heading="a_metric_of_a_long_name_that_leaves_room_for_few")
    assert shown(70, narrow) == [
        "lstm on L1",
        "a_metric_of_a_long_name_that_leaves_room_for_few   best        95%",
        "──────────────────────────────────────────────────────────────────",
        "loss                                              0.250",
        "",
        "rule 1                                            0.500  0.20-0.80",
        "",
        "what it means",
        "Left out at 70 columns: slow and steady; chance; note. To see all: a",
        "terminal of 99 columns or summary.json.",
        "",
    ]
    wider = shown(84, narrow)  # "slow and steady" would fit beside the first two, but "chance" has more weight
    assert wider[1].split()[1:] == ["best", "95%", "chance", "note"]
    assert wider[-3].startswith("Left out at 84 columns: slow and steady. To see all: a terminal of 99 columns")


def test_a_column_without_a_value_does_not_stand():
    table = Sheet([Column("data", "name"), Column("full"), Column("empty")], [[["L1", "-", ""], ["L2", "1", ""]]])
    for columns in (40, 80):
        assert "full" in " ".join(shown(columns, table))
        assert "empty" not in " ".join(shown(columns, table))


def test_further_columns_stand_below_where_none_may_be_left_out():
    assert shown(60, WIDE) == [
        "data                               a",
        "────────────────────────────────────",
        "L1    111111111111111111111111111111",
        "",
        "data                               b                     c",
        "──────────────────────────────────────────────────────────",
        "L1    222222222222222222222222222222  33333333333333333333",
        "",
    ]


def test_names_headings_and_notes_wrap_at_blanks():
    assert shown(60, sheet(elsewhere="summary.json"))[1:7] == [
        "metric   best        95%   slow and steady  chance  note",
        "────────────────────────────────────────────────────────────",
        "loss    0.250                            -   1.000  a note",
        "                                                    of some",
        "                                                    words",
        "",
    ]
    named = Sheet([Column("data", "name"), Column("number of many words")], [[["a long name of data " * 3, "0" * 30]]])
    assert shown(60, named)[:5] == [
        "data                                    number of many words",
        "────────────────────────────────────────────────────────────",
        "a long name of data a long    000000000000000000000000000000",
        "name of data a long name of",
        "data",
    ]


def test_a_narrow_terminal_gets_a_list():
    assert shown(40, sheet(elsewhere="summary.json")) == [
        "lstm on L1",
        "loss",
        "  best 0.250   slow and steady -",
        "  chance 1.000",
        "  note a note of some words",
        "",
        "rule 1",
        "  best 0.500   95% 0.20-0.80",
        "  slow and steady 0.25 [0.25-0.25]",
        "  chance 0.125",
        "",
        "what it means",
        "",
    ]


def test_a_word_longer_than_the_terminal_is_left_whole():
    path = "/a/path/" + "to/" * 30
    lines = shown(60, Sheet([Column("run", "name"), Column("reason", "text")], [[[path, "no memory"]]], title=path))
    assert lines == [path, path, "  reason no memory", ""]


def test_signs_that_would_steer_a_terminal_are_written_out():
    hostile = Sheet([Column("a\x1b[2J", "name")], [[["b\x1b]0;title\x07\nc\u202e"]]], title="\x1b[31mred")
    assert "\x1b[31m" not in in_terminal(80, lambda file: show(hostile, file=file))
    assert shown(80, hostile) == [
        r"\x1b[31mred", r"a\x1b[2J", "─" * 25, r"b\x1b]0;title\x07 c\u202e", ""
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_terminals_that_want_no_colours_or_no_styles(environment, columns):
    def styles():
        return set(STYLES.findall(in_terminal(columns, lambda file: show(sheet(), file=file))))

    assert styles() == {"\x1b[0m", "\x1b[1m"}
    with environment.context() as patch:
        patch.setenv("NO_COLOR", "1")
        assert styles() <= {"\x1b[0m", "\x1b[1m"}  # bold is no colour
    with environment.context() as patch:
        patch.setenv("TERM", "dumb")
        assert "\x1b" not in in_terminal(columns, lambda file: show(sheet(), file=file))
        lines = shown(columns, WIDE)  # in the terminal's own width, which Rich takes to be 80
    assert lines == shown(columns, WIDE)


def test_the_width_of_columns_is_heeded_and_an_unknown_one_is_80(environment):
    assert shown(0, WIDE) == shown(80, WIDE) != shown(100, WIDE)
    with environment.context() as patch:
        patch.setenv("COLUMNS", "100")
        assert shown(60, WIDE) == shown(100, WIDE)
