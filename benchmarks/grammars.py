"""Samplers and rule predicates compared with Python loops over strings, in one run.

The loops generate the same strings from the same uniform numbers, and return the same answers. They are timed on rows
of a tensor, which a model returns and the published code loops over, and on lists converted from all rows at once,
which is faster. Run it with `python benchmarks/grammars.py`.
"""

import time
from collections.abc import Callable, Sequence
from math import comb

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rule_extrapolation.dyck import Dyck, ShuffleDyck
from rule_extrapolation.grammars import Grammar
from rule_extrapolation.letters import ANBN, ANBNCN, BaN, BbaN
from rule_extrapolation.rules import EOS, PAD

MAX_LENGTH = 32
BATCH = 8192  # 64 batches of 128, as training draws them
PLAIN_BATCH = 512

Draw = Callable[[int, Sequence[float] | Tensor], list[int]]
Predicate = Callable[[Sequence[int] | Tensor], bool]


def draw_baN(length: int, uniforms: Sequence[float] | Tensor) -> list[int]:
    string = [4] + [3 if uniforms[t] < 0.5 else 4 for t in range(1, length - 1)]
    return [*string, 3 if string.count(3) % 2 else 4] if length > 1 else string


def draw_bbaN(length: int, uniforms: Sequence[float] | Tensor) -> list[int]:
    num_a = 2 * int(uniforms[0] * ((length + 1) // 2))
    return [4] * (length - num_a) + [3] * num_a


def draw_aNbN(length: int, uniforms: Sequence[float] | Tensor) -> list[int]:
    return [3] * (length // 2) + [4] * (length // 2)


def draw_aNbNcN(length: int, uniforms: Sequence[float] | Tensor) -> list[int]:
    return [3] * (length // 3) + [4] * (length // 3) + [5] * (length // 3)


def opens(height: int, remaining: int) -> float:
    return (remaining - height) * (height + 2) / (2 * remaining * (height + 1))


def draw_dyck(length: int, uniforms: Sequence[float] | Tensor) -> list[int]:
    string, stack = [], []
    for position in range(length):
        p_open = opens(len(stack), length - position)
        if uniforms[position] < p_open:
            stack.append(3 if 2 * uniforms[position] < p_open else 5)
            string.append(stack[-1])
        else:
            string.append(stack.pop() + 1)
    return string


def draw_shuffle_dyck(length: int, uniforms: Sequence[float] | Tensor) -> list[int]:
    half = length // 2
    catalan = [comb(2 * n, n) // (n + 1) for n in range(half + 1)]
    counts = [comb(length, 2 * k) * catalan[k] * catalan[half - k] for k in range(half + 1)]
    target, pairs = uniforms[0] * sum(counts), 0
    while target >= counts[pairs]:
        target -= counts[pairs]
        pairs += 1
    remaining, height, string = [2 * pairs, length - 2 * pairs], [0, 0], []
    for position in range(length):
        uniform, p_first = uniforms[1 + position], remaining[0] / (length - position)
        kind = 0 if uniform < p_first else 1
        rest = uniform / p_first if kind == 0 else (uniform - p_first) / (1 - p_first)
        is_open = height[kind] == 0 or rest < opens(height[kind], remaining[kind])
        string.append(3 + 2 * kind + (0 if is_open else 1))
        height[kind] += 1 if is_open else -1
        remaining[kind] -= 1
    return string


def before_eos(string: Sequence[int] | Tensor) -> Sequence[int] | Tensor:
    for place, token in enumerate(string):
        if token == EOS:
            return string[:place]
    return string


def count(string: Sequence[int] | Tensor, symbol: int) -> int:
    return sum(1 for token in string if token == symbol)


def in_order(string: Sequence[int] | Tensor, order: list[int]) -> bool:
    block = 0
    for token in string:
        while block < len(order) and order[block] != token:
            block += 1
    return block < len(order)


def is_baN(string: Sequence[int] | Tensor) -> bool:
    return count(string, 3) % 2 == 0 and len(string) > 0 and bool(string[0] == 4)


def is_bbaN(string: Sequence[int] | Tensor) -> bool:
    return is_baN(string) and in_order(string, [4, 3])


def is_aNbN(string: Sequence[int] | Tensor) -> bool:
    return count(string, 3) == count(string, 4) and in_order(string, [3, 4])


def is_aNbNcN(string: Sequence[int] | Tensor) -> bool:
    return count(string, 3) == count(string, 4) == count(string, 5) and in_order(string, [3, 4, 5])


def is_dyck(string: Sequence[int] | Tensor) -> bool:
    stack = []
    for token in string:
        if token == 3 or token == 5:
            stack.append(token)
        elif not stack or stack.pop() != token - 1:
            return False
    return not stack


def is_shuffle_dyck(string: Sequence[int] | Tensor) -> bool:
    parentheses = brackets = 0
    for token in string:
        if token == 3 or token == 4:
            parentheses += 1 if token == 3 else -1
        else:
            brackets += 1 if token == 5 else -1
        if parentheses < 0 or brackets < 0:
            return False
    return parentheses == brackets == 0


PLAIN: list[tuple[Grammar, Draw, Predicate]] = [
    (BaN(), draw_baN, is_baN),
    (BbaN(), draw_bbaN, is_bbaN),
    (ANBN(), draw_aNbN, is_aNbN),
    (ANBNCN(), draw_aNbNcN, is_aNbNcN),
    (Dyck(), draw_dyck, is_dyck),
    (ShuffleDyck(), draw_shuffle_dyck, is_shuffle_dyck),
]


def seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """The minimum time of several runs in seconds, close to the time without other load."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(grammar: Grammar, draw: Draw, is_grammatical: Predicate) -> tuple[str, ...]:
    """One row of the table."""
    generator = torch.Generator().manual_seed(0)
    allowed = grammar.lengths(MAX_LENGTH)
    lengths = allowed[torch.randint(len(allowed), (BATCH,), generator=generator)]
    uniforms = torch.rand(BATCH, grammar.num_uniforms(MAX_LENGTH), dtype=torch.float64, generator=generator)
    strings = torch.nn.functional.pad(grammar.batch(lengths, uniforms), (0, 1), value=PAD)
    strings[torch.arange(BATCH), lengths] = EOS

    few, few_uniforms, few_strings = lengths[:PLAIN_BATCH].tolist(), uniforms[:PLAIN_BATCH], strings[:PLAIN_BATCH]

    def drawn(lists: bool) -> Tensor:
        if not lists:
            return pad_sequence(
                [torch.tensor(draw(n, row)) for n, row in zip(few, few_uniforms, strict=True)], True, PAD
            )
        rows = [draw(n, row) for n, row in zip(few, few_uniforms.tolist(), strict=True)]
        return torch.tensor([row + [PAD] * (max(few) - len(row)) for row in rows])

    def scored(lists: bool) -> list[bool]:
        return [is_grammatical(before_eos(row)) for row in (few_strings.tolist() if lists else few_strings)]

    expected = few_strings[:, : max(few)].masked_fill(few_strings[:, : max(few)] == EOS, PAD)
    assert torch.equal(drawn(lists=True), expected) and torch.equal(drawn(lists=False), expected), grammar.name
    assert scored(lists=True) == grammar.grammatical(few_strings).tolist(), grammar.name
    tokens_a_second = int(lengths.sum()) / seconds(lambda: grammar.batch(lengths, uniforms))
    strings_a_second = BATCH / seconds(lambda: grammar.grammatical(strings))
    plain_drawn = [sum(few) / seconds(lambda lists=lists: drawn(lists)) for lists in (False, True)]
    plain_scored = [PLAIN_BATCH / seconds(lambda lists=lists: scored(lists)) for lists in (False, True)]
    return (
        f"{grammar.label} {grammar.name}",
        f"{tokens_a_second / 1e6:.1f}",
        *(f"{tokens_a_second / plain:.0f}x" for plain in plain_drawn),
        f"{strings_a_second / 1e3:.0f}",
        *(f"{strings_a_second / plain:.0f}x" for plain in plain_scored),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    table = Table(title=f"Strings up to {MAX_LENGTH} symbols, batches of {BATCH}, one thread; ratios to plain Python")
    table.add_column("language")
    for heading in ("Mtokens/s drawn", "on tensors", "on lists", "strings/ms scored", "on tensors", "on lists"):
        table.add_column(heading, justify="right")
    for grammar, draw, is_grammatical in PLAIN:
        table.add_row(*compare(grammar, draw, is_grammatical))
    Console(width=130).print(table)
