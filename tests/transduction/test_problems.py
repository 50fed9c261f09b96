"""Every problem of conf/data against answers that plain Python works out, and the exactness of what is drawn."""

from collections import Counter
from itertools import permutations

import pytest
import torch

from tests.conftest import ROOT
from transduction.answers import Majority, Rewriting
from transduction.groups import GroupWord, multiplication_table
from transduction.recall import Recall

CHOICES = sorted(
    path.stem for path in (ROOT / "conf" / "data").glob("*.yaml") if "transduction" in path.read_text(encoding="utf-8")
)


def bits_of(word):
    return [sum(word[: end + 1]) % 2 for end in range(len(word))]


def walk(word):
    return [sum((0, 1, -1)[step] for step in word[: end + 1]) % 5 for end in range(len(word))]


def products(size, even):
    """The numbers of the products of a word of permutations, applied one after another to things in a row."""
    elements = [p for p in permutations(range(size)) if not even or sign(p) == 1]

    def answers(word):
        place, found = tuple(range(size)), []
        for letter in word:
            place = tuple(elements[letter][thing] for thing in place)
            found.append(elements.index(place))
        return found

    return answers


def sign(permutation):
    """By cycles: a cycle of k things is even where k is odd."""
    seen, total = set(), 1
    for start in permutation:
        length = 0
        while start not in seen:
            seen.add(start)
            start, length = permutation[start], length + 1
        total *= -1 if length and length % 2 == 0 else 1
    return total


def more_frequent(word):
    found = []
    for end in range(1, len(word) + 1):
        counts = Counter(word[:end])
        found.append(word[end - 1] if counts[0] == counts[1] else max(counts, key=lambda symbol: counts[symbol]))
    return found


def values(word):
    num_pairs = len(word) // 3
    known = {word[2 * i]: word[2 * i + 1] for i in range(num_pairs)}
    return [known[key] - 32 for key in word[2 * num_pairs :]]


BY_HAND = {
    "parity": bits_of,
    "mod5": lambda word: [sum(word[: end + 1]) % 5 for end in range(len(word))],
    "cycle": walk,
    "S3": products(3, even=False),
    "A5": products(5, even=True),
    "majority": more_frequent,
    "reverse": lambda word: word[: len(word) // 2][::-1],
    "copy_repeats": lambda word: word[: len(word) // 2],
    "copy_unique": lambda word: word[: len(word) // 2],
    "sort": lambda word: sorted(word[: len(word) // 2]),
    "recall": values,
}


@pytest.mark.parametrize("name", CHOICES)
def test_answers_are_those_by_hand_and_the_oracle_knows_them(problem, name):
    one = problem(name)
    for length in (1, 2, 5, 8):
        drawn = one.draw(length, numbers(one, length, 20))
        assert drawn.inputs.shape == drawn.targets.shape == drawn.mask.shape == (20, one.steps(length))
        assert drawn.inputs.min() >= 0 and drawn.inputs.max() < len(one.symbols)
        assert torch.equal(drawn.mask, one.due(drawn.inputs))
        expected = [BY_HAND[name](word) for word in drawn.inputs.tolist()]
        assert [row[mask].tolist() for row, mask in zip(drawn.targets, drawn.mask, strict=True)] == expected
        assert torch.equal(one.oracle(drawn.inputs)[drawn.mask], drawn.targets[drawn.mask])


@pytest.mark.parametrize("name", CHOICES)
def test_a_string_is_a_function_of_its_own_numbers(problem, name):
    one = problem(name)
    uniforms = numbers(one, 6, 10)
    whole, alone = one.draw(6, uniforms), one.draw(6, uniforms[3:4])
    assert all(torch.equal(part[3:4], row) for part, row in zip(whole, alone, strict=True))


@pytest.mark.parametrize("name", [name for name in CHOICES if name not in ("sort", "copy_unique", "recall")])
def test_each_answer_is_equally_likely(problem, name):
    one = problem(name)
    drawn = one.draw(30, numbers(one, 30, 6000))
    last = drawn.targets[:, -1].bincount(minlength=len(one.answers)) / 6000
    chance = 1 / len(one.answers)
    assert (last - chance).abs().max() < 5 * (chance * (1 - chance) / 6000) ** 0.5


@pytest.mark.parametrize("name", CHOICES)
def test_shortcuts_answer_something_and_are_not_the_oracle(problem, name):
    one = problem(name)
    drawn = one.draw(8, numbers(one, 8, 500))
    assert one.shortcuts()
    for answer in one.shortcuts().values():
        given = answer(drawn.inputs)
        assert given.shape == drawn.inputs.shape
        due = given[drawn.mask]
        assert due.min() >= 0 and due.max() < len(one.answers)
        assert (due == drawn.targets[drawn.mask]).double().mean() < 0.9


@pytest.mark.parametrize("name", CHOICES)
def test_what_it_prints_it_can_parse(problem, name):
    one = problem(name)
    drawn = one.draw(3, numbers(one, 3, 1))
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


@pytest.mark.parametrize("group", ["Z1", "S1", "A2", "D4", "S7", "Z1001", "z2", "", "Z-2", "S3 "])
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


def test_strings_that_a_problem_does_not_have():
    with pytest.raises(ValueError, match="each once"):
        Rewriting(order="copy", alphabet=5, repeats=False).parse("1 1")
    for text in ("k1 v5 k2", "v1 k1 k1", "k1 v5 k2", "k1 v2"):
        with pytest.raises(ValueError, match="first pairs of a key and a value"):
            Recall().parse(text)


def numbers(problem, length, count):
    generator = torch.Generator().manual_seed(length)
    return torch.rand(count, problem.num_uniforms(length), dtype=torch.float64, generator=generator)


@pytest.fixture(scope="module")
def problem(compose):
    """NAME -> the problem of conf/data/NAME.yaml."""
    from seqlab.run.build import construct

    return lambda name: construct(compose(f"data={name}", full=True)["data"]["problem"])
