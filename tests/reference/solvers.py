"""The symbolic solvers the plain way: one sequence at a time, fractions, Gauss's elimination, Lagrange's polynomial."""

from fractions import Fraction
from itertools import pairwise
from math import prod


def copy_last(terms):
    return terms[-1]


def last_difference(terms):
    return 2 * terms[-1] - terms[-2] if len(terms) > 1 else terms[-1]


def difference_table(terms):
    return _or_last(_polynomial(terms), terms)


def recurrence(terms):
    return _or_last(_recurrence(terms), terms)


def cascade(terms):
    for rule in (_period, _polynomial, _recurrence, _periodic_differences):
        if (found := rule(terms)) is not None:
            return found
    return terms[-1]


def decision_list(terms):
    rules = (
        lambda: _after_the_end(terms, 3),
        lambda: _by_differences(terms, lambda steps: _after_the_end(steps, 3)),
        lambda: _recurrence(terms, ((3, 1),)),
        lambda: _by_differences(terms, lambda steps: _after_the_end(steps, 2)),
        lambda: _after_the_end(terms, 2),
        lambda: _polynomial(terms),
        lambda: _recurrence(terms),
        lambda: _by_differences(terms, lambda steps: _after_the_end(steps, 1)),
    )
    for rule in rules:
        if (found := rule()) is not None:
            break
    else:
        found = last_difference(terms)
    return min(max(found, 0), 255)


def _after_the_end(values, count):
    """What followed the last `count` values where they occurred last before; None if they did not."""
    for start in reversed(range(len(values) - count)):
        if values[start : start + count] == values[len(values) - count :]:
            return values[start + count]
    return None


def _by_differences(terms, rule):
    step = rule([b - a for a, b in pairwise(terms)])
    return None if step is None else terms[-1] + step


def _or_last(found, terms):
    return terms[-1] if found is None else found


def _polynomial(terms):
    """The next value of the polynomial of least degree through all terms, if it has fewer coefficients than terms."""

    def value(degree, x):
        """At x, the polynomial through the first degree + 1 points."""
        total = 0
        for i in range(degree + 1):
            others = [j for j in range(degree + 1) if j != i]
            total += terms[i] * (prod(x - j for j in others) // prod(i - j for j in others))  # whole at whole points
        return total

    for degree in range(len(terms) - 1):
        if all(value(degree, x) == term for x, term in enumerate(terms)):
            return value(degree, len(terms))
    return None


def _period(terms):
    for period in range(1, len(terms) // 2 + 1):
        if all(term == terms[i % period] for i, term in enumerate(terms)):
            return terms[len(terms) % period]
    return None


def _periodic_differences(terms):
    return _by_differences(terms, _period)


def _recurrence(terms, forms=((0, 1), (1, 0), (1, 1), (2, 0), (2, 1))):
    for order, constant in forms:
        size = order + constant
        rows = [terms[i : i + order] + [1] * constant for i in range(len(terms) - order + 1)]
        equations = [[*row, term] for row, term in zip(rows, terms[order:], strict=False)]
        if len(equations) <= size:
            continue
        solution = _solution(equations[:size])
        if solution is None:
            continue
        values = [sum(a * x for a, x in zip(solution, row, strict=True)) for row in rows]
        if values[:-1] == terms[order:] and values[-1].denominator == 1:
            return int(values[-1])
    return None


def _solution(equations):
    """Gauss and Jordan; None where the equations do not determine the unknowns."""
    matrix = [[Fraction(x) for x in row] for row in equations]
    for column in range(len(matrix)):
        pivot = next((i for i in range(column, len(matrix)) if matrix[i][column]), None)
        if pivot is None:
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        matrix[column] = [x / matrix[column][column] for x in matrix[column]]
        for i, row in enumerate(matrix):
            if i != column:
                matrix[i] = [x - row[column] * y for x, y in zip(row, matrix[column], strict=True)]
    return [row[-1] for row in matrix]
