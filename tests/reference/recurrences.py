"""Every family of integer sequences as one line of plain Python: the next term from a rule and the terms so far."""

from math import ceil, floor

NEXT = {
    "constant": lambda rule, x: x[0],
    "arithmetic": lambda rule, x: x[0] + len(x) * rule[0],
    "period_two": lambda rule, x: x[len(x) % 2],
    "linear_order_two": lambda rule, x: rule[0] * x[-1] + rule[1] * x[-2] + rule[2],
    "alternating_steps": lambda rule, x: x[-1] + (rule[0] if len(x) % 2 else rule[1]),
    "growing_steps": lambda rule, x: x[0] + sum(rule[0] + i * rule[1] for i in range(len(x))),
    "ratio": lambda rule, x: (ceil if rule[2] else floor)(rule[0] * x[-1] / rule[1] + (-1e-9 if rule[2] else 1e-9)),
    "alternating_factors": lambda rule, x: x[-1] * rule[0] if len(x) % 2 != rule[2] else x[-1] // rule[1],
    "runs": lambda rule, x: x[0] + rule[2] * run_number(len(x), rule[0], rule[1]),
    "true_growth": lambda rule, x: rule[0] * x[-1] + rule[1],
    "linear_modulo": lambda rule, x: (rule[0] * x[-1] + rule[1] * x[-2] + rule[2]) % rule[3],
    "doubled_terms": lambda rule, x: (x[0] + len(x) * rule[0]) * (2 if (len(x) + 1) % rule[1] == 0 else 1),
    "alternating_signs": lambda rule, x: 256 - x[-1] + (-rule[0] if (x[0] >= 128) == (len(x) % 2) else rule[0]),
    "parity_condition": lambda rule, x: x[-1] + rule[0] if x[-1] % 2 == 0 else rule[1] * x[-1] + rule[2],
    "threshold_condition": lambda rule, x: x[-1] + rule[1] if x[-1] < rule[0] else x[-1] - rule[2],
    "composition": lambda rule, x: floor(rule[0] * x[-1] / rule[1]) + rule[2],
    "switch": lambda rule, x: x[-1] + (rule[0] if len(x) <= rule[2] else rule[1]),
}


def run_number(place, first, second):
    """How many runs have ended before a place, when runs of two lengths take turns."""
    number, end = 0, first
    while place >= end:
        number += 1
        end += second if number % 2 else first
    return number
