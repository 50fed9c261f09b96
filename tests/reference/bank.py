"""The bank of candidates the plain way: Python loops over terms, views and guesses."""

from math import gcd
from typing import Any

REACH = 7  # residuals looked back at
ORDER_THREE = [
    (1, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, -1), (1, 0, -1), (2, 0, -1),
    (1, -1, 1), (2, -2, 1), (2, -1, 1), (3, -3, 1), (1, 1, 2), (0, 2, 1),
]  # fmt: skip
FLOORS = [(1, 2), (1, 3), (2, 3), (3, 4), (4, 5), (3, 2), (4, 3), (5, 4), (1, 4), (1, 5), (4, 1), (5, 1)]


def term(x, t):
    """x[t], None before the first."""
    return x[t] if t >= 0 else None


def view_values(x: list[int], t: int) -> list[Any]:
    """The value of each view after x[t], None where a term is missing."""
    if t < 0:
        return [None] * 70
    values: list[Any] = []
    for a in range(-2, 4):
        for b in range(-2, 4):
            values.append(a * x[t] + b * (x[t - 1] if t >= 1 else 0) if t >= 1 or b == 0 else None)
    for a, b, c in ORDER_THREE:
        values.append(a * x[t] + b * x[t - 1] + c * x[t - 2] if t >= 2 else None)
    values += [term(x, t - 2), term(x, t - 3)]
    values += [p * x[t] // q for p, q in FLOORS]
    values += [-(-p * x[t] // q) for p, q in FLOORS[:8]]
    return values


def guesses(x: list[int], t: int, view: int) -> list[Any]:
    """The twelve guesses at the residual of a view after x[t], None where there is none."""
    seen: list[Any] = [view_values(x, s)[view] for s in range(t + 1)]

    def residual(s: int) -> Any:
        return x[s] - seen[s - 1] if s >= 1 and seen[s - 1] is not None else None

    now = seen[t] if t >= 0 else None
    found: list[Any] = [residual(t - back) if t >= 0 else None for back in range(6)]
    found.append(None if None in found[:2] else 2 * found[0] - found[1])
    latest_first = [s for s in range(t, max(t - REACH, 0), -1) if residual(s) is not None]
    for allowed in (lambda off: True, lambda off: off >= 0, lambda off: off <= 0):
        fitting = [s for s in latest_first if now is not None and allowed(now - seen[s - 1])]
        found.append(residual(min(fitting, key=lambda s: abs(now - seen[s - 1]))) if fitting else None)
    same = [s for s in latest_first if (x[t] - x[s - 1]) % 2 == 0]
    found.append(residual(same[0]) if same else None)
    divisor = 0
    for s in latest_first:
        if s != t:
            divisor = gcd(divisor, residual(t) - residual(s))
    if latest_first and now is not None and divisor > max(x[max(t - REACH, 0) : t + 1]):
        found.append((now + residual(t)) % divisor - now)
    else:
        found.append(None)
    return found


def candidates(x, t):
    """[(value or None, right)] of all 840 candidates after x[t]; right: 1, -1, or 0 without a candidate before."""
    rows = []
    for view in range(70):
        now: Any = view_values(x, t)[view]
        before: Any = view_values(x, t - 1)[view] if t >= 1 else None
        old: list[Any] = guesses(x, t - 1, view) if t >= 1 else [None] * 12
        for guess, past in zip(guesses(x, t, view), old, strict=True):
            value = None if now is None or guess is None else now + guess
            rows.append((value, 0 if before is None or past is None else 1 if before + past == x[t] else -1))
    return rows
