"""The frozen named sequences: as their definitions and as another package give them, and as solvers see them."""

import re
from itertools import islice

import pytest
from oeis_sequences import OEISsequences

from sequences.form import Form
from sequences.named import Named, compute, named, text, window_accuracy, windows
from sequences.named_forms import FORMS
from sequences.solvers import SOLVERS, copy_last, last_difference

# Not in the package: the first terms as the OEIS prints them.
PRINTED = {
    "A000002": [1, 2, 2, 1, 1, 2, 1, 2, 2, 1, 2, 2, 1, 1, 2, 1, 1, 2, 2, 1],
    "A000073": [0, 0, 1, 1, 2, 4, 7, 13, 24, 44, 81, 149],
    "A000384": [0, 1, 6, 15, 28, 45, 66, 91, 120, 153, 190, 231],
    "A000796": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4],
    "A000931": [1, 0, 0, 1, 0, 1, 1, 1, 2, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 37],
    "A000959": [1, 3, 7, 9, 13, 15, 21, 25, 31, 33, 37, 43, 49, 51, 63, 67, 69, 73, 75, 79],
    "A001113": [2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9, 0, 4, 5, 2, 3, 5, 3],
    "A002193": [1, 4, 1, 4, 2, 1, 3, 5, 6, 2, 3, 7, 3, 0, 9, 5, 0, 4, 8, 8],
    "A002858": [1, 2, 3, 4, 6, 8, 11, 13, 16, 18, 26, 28, 36, 38, 47, 48, 53, 57, 62, 69],
    "A004001": [1, 1, 2, 2, 3, 4, 4, 4, 5, 6, 7, 7, 8, 8, 8, 8, 9, 10, 11, 12],
    "A006577": [0, 1, 7, 2, 5, 8, 16, 3, 19, 6, 14, 9, 9, 17, 17, 4, 12, 20, 20, 7],
    "A010872": [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2],
    "A022843": [0, 2, 5, 8, 10, 13, 16, 19, 21, 24, 27, 29, 32, 35, 38, 40, 43, 46, 48, 51],
    "A022844": [0, 3, 6, 9, 12, 15, 18, 21, 25, 28, 31, 34, 37, 40, 43, 47, 50, 53, 56, 59],
    "A082115": [0, 1, 1, 2, 0, 2, 2, 1, 0, 1, 1, 2, 0, 2, 2, 1],
}


def in_package(form: Form) -> bool:
    return hasattr(OEISsequences, form.a_number) or hasattr(OEISsequences, f"{form.a_number}_gen")


def by_package(form: Form, number: int) -> list[int]:
    """The first terms by the package's generator, or its function from the first index on."""
    if hasattr(OEISsequences, f"{form.a_number}_gen"):
        return list(islice(getattr(OEISsequences, f"{form.a_number}_gen")(), number))
    return [int(getattr(OEISsequences, form.a_number)(form.offset + i)) for i in range(number)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.a_number)
def test_terms_are_those_of_another_implementation(form):
    (frozen,) = (sequence for sequence in named() if sequence.a_number == form.a_number)
    if form.a_number in PRINTED:
        length = min(len(frozen.terms), len(PRINTED[form.a_number]))
        assert list(frozen.terms[:length]) == PRINTED[form.a_number][:length]
    else:
        assert list(frozen.terms) == by_package(form, len(frozen.terms))
    assert frozen.name == form.name


def test_few_sequences_are_checked_by_printed_terms_only():
    assert {form.a_number for form in FORMS if not in_package(form)} == set(PRINTED)
    assert all(len(terms) >= 9 for terms in PRINTED.values())


def test_the_file_is_what_the_definitions_give():
    assert named() == compute()


def test_each_has_nine_terms_and_a_number_of_its_own():
    sequences = named()
    assert 105 <= len(sequences) <= 120
    assert len({sequence.a_number for sequence in sequences}) == len(sequences)
    assert len({sequence.name for sequence in sequences}) == len(sequences)
    assert len({sequence.terms[:9] for sequence in sequences}) == len(sequences)
    for sequence in sequences:
        assert re.fullmatch(r"A\d{6}", sequence.a_number)
        assert 9 <= len(sequence.terms) <= 24
        assert all(0 <= term <= 255 for term in sequence.terms)


def test_terms_end_only_at_24_or_where_the_next_one_is_too_large():
    for form, sequence in zip(FORMS, named(), strict=True):
        following = next(islice(form.terms(), len(sequence.terms), None))
        assert len(sequence.terms) == 24 or following > 255, form


def test_the_span_is_that_of_the_generator():
    inside = {sequence.name for sequence in named() if sequence.in_span}
    assert {"all ones", "odd numbers", "squares", "Fibonacci numbers", "n mod 2", "2^n - 1", "floor(n / 3)"} <= inside
    assert not {"primes", "Padovan sequence", "tetrahedral numbers", "digits of pi"} & inside


def test_windows_and_accuracy_by_hand():
    sequences = [Named("A1", "one", (1, 2, 3, 4), True), Named("A2", "two", (5, 5, 9), False)]
    every = windows(sequences, 3)
    assert every.tolist() == [[1, 2, 3], [2, 3, 4], [5, 5, 9]]
    assert windows(sequences, 3, first_only=True).tolist() == [[1, 2, 3], [5, 5, 9]]
    assert window_accuracy(last_difference, sequences, 3)[:2] == (2, 3)
    assert window_accuracy(last_difference, sequences, 3, first_only=True)[:2] == (1, 2)
    assert window_accuracy(copy_last, sequences, 3)[:2] == (0, 3)


def test_the_windows_of_a_sequence_are_one_cluster():
    long = Named("A1", "one", tuple(range(24)), True)
    alone = window_accuracy(last_difference, [long], 9)
    assert (alone.hits, alone.trials, alone.effective) == (16, 16, 1.0)


def test_solvers_on_the_real_sequences():
    """In this order each baseline is the better one, and no solver knows them all."""
    rows = windows(named(), 9, first_only=True)
    assert len(rows) == len(named())
    hits = {name: window_accuracy(solver, named(), 9, first_only=True).hits for name, solver in SOLVERS.items()}
    assert hits["copy_last"] < hits["last_difference"] < hits["recurrence"] < hits["cascade"] < hits["decision_list"]
    assert hits["decision_list"] == 51
    inside = [sequence for sequence in named() if sequence.in_span]
    found = window_accuracy(SOLVERS["cascade"], inside, 9, first_only=True)
    assert found.hits > 0.9 * found.trials


def test_the_text_keeps_one_line_for_each():
    assert len(text(named()).splitlines()) == len(named()) + 2
