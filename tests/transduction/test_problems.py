"""Every problem of conf/data against answers that plain Python works out, and the exactness of what is drawn."""

import inspect
import re
from collections import Counter

import pytest
import torch
from hydra.utils import get_class

from seqlab.check import check
from seqlab.errors import InputError
from seqlab.run.build import configuration
from tests.conftest import ROOT
from tests.transduction.by_hand import BY_HAND
from transduction.answers import Majority, Rewriting
from transduction.arithmetic import Arithmetic
from transduction.flip_flop import FlipFlop
from transduction.groups import GroupWord, multiplication_table
from transduction.machines import Addition, Counting
from transduction.memorise import Memorise
from transduction.metrics import scored
from transduction.recall import NoisyRecall, Recall
from transduction.selective import SelectiveCopy

SETS = {"d2", "dyck_2_3", "dyck_8_10", "next_set"}
UNBALANCED = {"sort", "copy_unique", "recall", "noisy_recall", "stack", *SETS}
LOCAL = {"tomita1", "tomita2"}  # neighbouring letters decide
CHOICES = sorted(
    path.stem for path in (ROOT / "conf" / "data").glob("*.yaml") if "transduction" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", CHOICES)
def test_answers_are_those_by_hand_and_the_oracle_knows_them(problem, name):
    one = problem(name)
    for length in lengths(one, 1, 2, 5, 6, 8, 9):
        drawn = one.draw(length, numbers(one, length, 20))
        assert drawn.inputs.shape == drawn.targets.shape[:2] == drawn.mask.shape == (20, one.steps(length))
        assert (drawn.mask == drawn.mask[0]).all()
        assert drawn.inputs.min() >= 0 and drawn.inputs.max() < len(one.symbols)
        assert torch.equal(drawn.mask, one.due(drawn.inputs))
        expected = [BY_HAND[name](word) for word in drawn.inputs.tolist()]
        assert [row[mask].tolist() for row, mask in zip(drawn.targets, drawn.mask, strict=True)] == expected
        assert torch.equal(one.oracle(drawn.inputs)[drawn.mask], drawn.targets[drawn.mask])


@pytest.mark.parametrize("name", CHOICES)
def test_its_file_is_short_and_has_every_option(name, compose):
    """So that each can be set on a command line."""
    chosen = compose(f"data={name}", full=True)["data"]["problem"]
    constructed = get_class(chosen.pop("_target_"))
    assert {key for key in inspect.signature(constructed).parameters if key != "self"} == set(chosen)
    assert 4 <= len((ROOT / "conf" / "data" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()) <= 6


@pytest.mark.parametrize("name", CHOICES)
def test_a_string_is_a_function_of_its_own_numbers(problem, name):
    one = problem(name)
    (length, *_) = lengths(one, 6, 8, 9)
    uniforms = numbers(one, length, 10)
    whole, alone = one.draw(length, uniforms), one.draw(length, uniforms[3:4])
    assert all(torch.equal(part[3:4], row) for part, row in zip(whole, alone, strict=True))


@pytest.mark.parametrize("name", [name for name in CHOICES if name not in UNBALANCED])
def test_each_answer_is_equally_likely(problem, name):
    one = problem(name)
    (length, *_) = lengths(one, 30, 29)
    drawn = one.draw(length, numbers(one, length, 6000))
    last = drawn.targets[:, -1].bincount(minlength=len(one.answers)) / 6000
    chance = 1 / one.kind.number
    assert (last - chance).abs().max() < 5 * (chance * (1 - chance) / 6000) ** 0.5


@pytest.mark.parametrize("name", CHOICES)
def test_shortcuts_answer_something_and_are_not_the_oracle(problem, name):
    one = problem(name)
    (length, *_) = lengths(one, 8, 9)
    drawn = one.draw(length, numbers(one, length, 500))
    assert one.shortcuts()
    for shortcut, answer in one.shortcuts().items():
        given = answer(drawn.inputs)
        assert given.shape == drawn.targets.shape and given.dtype == drawn.targets.dtype
        due = given[drawn.mask].long()
        assert due.min() >= 0 and due.max() < len(one.answers)
        right = getattr(scored(given, drawn), one.decisive).value
        assert right == 1 if shortcut == "by neighbours" and name in LOCAL else right < 0.9  # so none has a horizon


@pytest.mark.parametrize("name", CHOICES)
def test_what_it_prints_it_can_parse(problem, name):
    one = problem(name)
    (length, *_) = lengths(one, 3, 4, 5, 8)
    drawn = one.draw(length, numbers(one, length, 1))
    words = [one.symbols[symbol] for symbol in drawn.inputs[0].tolist()]
    typed = [word for word in words if word != "?"]
    assert torch.equal(one.parse(" ".join(typed)), drawn.inputs)
    with pytest.raises(ValueError, match="'x' is not a symbol"):
        one.parse("x")
    with pytest.raises(ValueError, match="empty"):
        one.parse(" ")


@pytest.mark.parametrize(("group", "number"), [("Z2", 2), ("Z7", 7), ("S3", 6), ("S4", 24), ("A4", 12), ("A5", 60)])
def test_tables_are_groups(group, number):
    table = multiplication_table(group)
    assert table.shape == (number, number)
    everything = torch.arange(number)
    assert torch.equal(table[0], everything) and torch.equal(table[:, 0], everything)
    assert all(torch.equal(row.sort().values, everything) for row in [*table, *table.T])  # so there are inverses
    assert torch.equal(table[table], table[:, table])  # (a b) c = a (b c)


@pytest.mark.parametrize(
    "group", ["Z1", "S1", "A2", "D4", "S7", "Z1001", "z2", "", "Z-2", "S3 ", "Z0", "S", "S99", "Z1２"]
)
def test_what_is_no_group_is_refused(group):
    with pytest.raises(ValueError, match=f"group={group}"):
        GroupWord(group=group)


@pytest.mark.parametrize("generators", [(), (5,), (-1,), (1, 1)])
def test_generators_are_elements(generators):
    with pytest.raises(ValueError, match="generators"):
        GroupWord(group="Z5", generators=generators)


@pytest.mark.parametrize(
    "make", [lambda readout: GroupWord(group="S3", readout=readout), lambda readout: Majority(readout=readout)]
)
def test_the_answer_at_the_end_is_the_last_of_those_at_every_step(make):
    every, last = make("every"), make("last")
    uniforms = numbers(every, 9, 30)
    steps, end = every.draw(9, uniforms), last.draw(9, uniforms)
    assert torch.equal(end.inputs[:, :-1], steps.inputs) and (end.inputs[:, -1] == len(last.symbols) - 1).all()
    assert torch.equal(end.targets[:, -1], steps.targets[:, -1]) and end.mask.sum() == 30
    assert torch.equal(last.oracle(end.inputs)[end.mask], end.targets[end.mask])
    for answer in last.shortcuts().values():
        assert answer(end.inputs)[:, -1].max() < len(last.answers)
    typed = " ".join(last.symbols[symbol] for symbol in steps.inputs[0].tolist())
    assert torch.equal(last.parse(typed), end.inputs[:1]) and torch.equal(last.parse(f"{typed} ?"), end.inputs[:1])
    with pytest.raises(ValueError, match="without letters"):
        last.parse("?")


def test_strings_that_a_problem_does_not_have():
    with pytest.raises(ValueError, match="each once"):
        Rewriting(order="copy", alphabet=5, repeats=False).parse("1 1")
    for text in ("k1 v5 k2", "v1 k1 k1", "k1 v5 k2", "k1 v2", "k1 v5 k1 v3 k1 k1"):
        with pytest.raises(ValueError, match="first pairs of a key and a value"):
            Recall().parse(text)


def lengths(problem, *wanted):
    """Those that the problem has."""
    return [length for length in wanted if length >= problem.shortest and problem.has(length)]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("sort", "problem.alphabet=100000000000"),
        ("recall", "problem.num_keys=10001"),
        ("noisy_recall", "problem.noise=1000000000"),
        ("noisy_recall", "problem.num_noises=10001"),
        ("selective_copy", "problem.number=100000000"),
        ("memorise", "problem.dictionary=4294967296"),
        ("memorise", "problem.num_keys=32000000000"),
        ("counting", "problem.numbers=100000000000"),
        ("dyck_2_3", "problem.depth=100000000000"),
        ("parity", "max_length=100001"),
        ("parity", "test_lengths=[100,100000000000]"),
    ],
)
def test_sizes_that_no_memory_holds_are_refused(compose, name, word):
    """Before anything of that size is made."""
    with pytest.raises(InputError, match=f"^data.{word.split('=')[0]}.*should be less than"):
        check(compose(f"data={name}", f"data.{word}", full=True), configuration)


@pytest.mark.parametrize(
    ("problem", "text", "part"),
    [
        (NoisyRecall(), "k1 v5 n0 k2 v3 k2 k1", "1 of n0 to n15 for each pair, none inside a pair"),
        (NoisyRecall(), "k1 n0 v5 k1", "none inside a pair"),
        (NoisyRecall(), "k1 v5 k1 n0", "none inside a pair"),
        (NoisyRecall(), "n0 k1 v5 k2", "first pairs of a key and a value"),
        (SelectiveCopy(number=2), "1 _ _", "1 symbols beside the blanks _; allowed: 2"),
        (SelectiveCopy(number=2), "? ?", "the \\? may be left out"),
        (Arithmetic(), "1+", "'1 \\+' is no expression: numbers and signs must alternate"),
        (Arithmetic(), "1 2", "numbers and signs must alternate"),
        (Arithmetic(brackets=True), "(1+2", "numbers and signs must alternate; allowed: such as"),
        (Arithmetic(brackets=True), "1+2)", "a bracket closes that is not open"),
        (Arithmetic(brackets=True), "1+2*3", "each operation stands in brackets of its own"),
        (Arithmetic(brackets=True), "(1+2)*3", "each operation stands in brackets of its own"),
        (Arithmetic(brackets=True), "((1)+2)", "each operation stands in brackets of its own"),
        (Arithmetic(), "(1+2)", "not a symbol"),
        (Addition(), "1 0 + 1", "two binary numbers of equally many digits"),
        (Addition(), "1 0 1", "two binary numbers"),
        (Addition(), "+", "two binary numbers"),
        (Counting(), "1 2 4", "2 is not followed by 3"),
        (FlipFlop(), "w 1 r 1", "pairs of w, i or r and a bit"),
        (FlipFlop(), "i 1 r", "first w"),
        (FlipFlop(), "w 1 w", "r at the end"),
        (FlipFlop(), "w 1 0 r r", "pairs of w, i or r and a bit"),
        (FlipFlop(), "w 1 i 0 r 0 r", "after r stands the bit that was written last"),
    ],
)
def test_what_a_user_types_is_checked(problem, text, part):
    with pytest.raises(ValueError, match=part):
        problem.parse(text)


def test_every_value_belongs_to_equally_many_keys():
    assert (Memorise(num_keys=12, num_values=4).values.bincount() == 3).all()
    assert not torch.equal(Memorise().values, Memorise(dictionary=2).values)
    with pytest.raises(ValueError, match="num_keys=10 must be a multiple of num_values=4"):
        Memorise(num_keys=10, num_values=4)


@pytest.mark.parametrize(
    ("brackets", "text", "first", "last"),
    [(True, "((1+2)*3)", 1, 3), (True, "(3+(1*2))", 3, 2), (True, "4", 4, 4), (False, "1+2*3", 1, 3)],
)
def test_the_first_and_the_last_number_are_that(brackets, text, first, last):
    problem = Arithmetic(brackets=brackets)
    inputs = problem.parse(text)
    given = {name: int(answer(inputs)[0, -1]) for name, answer in problem.shortcuts().items()}
    assert given == {"one answer": 0, "first number": first, "last number": last}


def test_each_shape_of_an_expression_is_equally_likely():
    problem = Arithmetic(brackets=True)
    drawn = problem.draw(17, numbers(problem, 17, 4000))
    texts = ["".join(problem.symbols[symbol] for symbol in row) for row in drawn.inputs.tolist()]
    shapes = Counter(re.sub("[-+*]", "o", re.sub("[0-4]", "d", text)) for text in texts)
    assert len(shapes) == 2 * 5 and max(abs(number - 400) for number in shapes.values()) < 5 * 20  # Catalan: 5


def numbers(problem, length, count):
    generator = torch.Generator().manual_seed(length)
    return torch.rand(count, problem.num_uniforms(length), dtype=torch.float64, generator=generator)


@pytest.fixture(scope="module")
def problem(compose):
    """NAME -> the problem of conf/data/NAME.yaml."""
    from seqlab.run.build import construct

    return lambda name: construct(compose(f"data={name}", full=True)["data"]["problem"])
