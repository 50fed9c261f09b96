"""What plain Python answers to the strings of each problem of conf/data: ids in, the answers that are due out."""

import re
from collections import Counter
from itertools import groupby, pairwise, permutations

from seqlab.randomness import permutation


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


def written_last(word):
    """The bit after the last w: instructions 2 to 4 at even places."""
    return [[bit for order, bit in zip(word[::2], word[1::2], strict=False) if order == 2][-1]]


def member(letters, inside):
    """Whether a string is in a language, asked at the end."""
    return lambda word: [int(inside("".join(letters[letter] for letter in word[:-1])))]


def runs_of_ones_and_zeros(string):
    """The lengths of each run of ones and of the run of zeros after it."""
    runs = [(sign, len(list(run))) for sign, run in groupby(string)]
    return [(one, zero) for (sign, one), (_, zero) in pairwise(runs) if sign == "1"]


def nested(kinds, depth):
    """Which brackets may follow, and the end: by cancelling pairs in the string so far."""

    def answers(word):
        found = []
        for end in range(1, len(word) + 1):
            open_ones = list(word[:end])
            while any(close == start + 1 and start % 2 == 0 for start, close in pairwise(open_ones)):
                place = next(i for i, (s, c) in enumerate(pairwise(open_ones)) if c == s + 1 and s % 2 == 0)
                del open_ones[place : place + 2]
            may = {2 * kind for kind in range(kinds) if len(open_ones) < depth}
            may.add(open_ones[-1] + 1 if open_ones else 2 * kinds)
            found.append([symbol in may for symbol in range(2 * kinds + 1)])
        return found

    return answers


def after_as_and_bs(word):
    """Which of a, b and the end may follow, in n a's and n b's."""
    found = []
    for end in range(1, len(word) + 1):
        num_a, num_b = word[:end].count(0), word[:end].count(1)
        found.append([num_b == 0, num_b < num_a, num_b == num_a])
    return found


def sum_of_bits(word):
    """By Python's own binary numbers."""
    one, other = "".join(map(str, word[: word.index(3)])).split("2")
    total = format(int(one[::-1], 2) + int(other[::-1], 2), "b")[::-1]
    return [int(digit) for digit in total.ljust(len(one), "0")[: len(one)]]


def left_on_stack(word):
    actions = word[: word.index(3)]
    stack = []
    for action in actions:
        stack = stack[:-1] if action == 2 else [*stack, action]
    return (stack[::-1] + [2] * len(actions))[: len(actions)]


def value_modulo_5(word):
    return [eval("".join("01234+-*()"[symbol] for symbol in word[:-1])) % 5]


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
    "noisy_recall": lambda word: values([symbol for symbol in word if symbol < 64]),
    "selective_copy": lambda word: [symbol for symbol in word if symbol < 8],
    "memorise": lambda word: [value % 32 for value in permutation(1, "memorise", 32, 256)[word].tolist()],
    "arithmetic": value_modulo_5,
    "arithmetic_brackets": value_modulo_5,
    "addition": sum_of_bits,
    "stack": left_on_stack,
    "counting": lambda word: [(word[0] + len(word) // 2 + place) % 100 for place in range(len(word) // 2)],
    "flip_flop": written_last,
    "regex": member("ab", lambda w: all(w[i] != w[i + 1] for i in range(0, len(w), 2)) and len(w) % 2 == 0),
    "even_pairs": member("ab", lambda w: sum(x != y for x, y in pairwise(w)) % 2 == 0),
    "tomita1": member("01", lambda w: "0" not in w),
    "tomita2": member("01", lambda w: w == "10" * (len(w) // 2)),
    "tomita3": member("01", lambda w: not any(one % 2 and zero % 2 for one, zero in runs_of_ones_and_zeros(w))),
    "tomita4": member("01", lambda w: "000" not in w),
    "tomita5": member("01", lambda w: w.count("0") % 2 == 0 and w.count("1") % 2 == 0),
    "tomita6": member("01", lambda w: (w.count("0") - w.count("1")) % 3 == 0),
    "tomita7": member("01", lambda w: re.sub("(.)\\1*", "\\1", "0" + w) in ("0", "01", "010", "0101")),
    "recognition": member("ab", lambda w: w == len(w) // 2 * "a" + len(w) // 2 * "b"),
    "next_set": after_as_and_bs,
    "d2": nested(1, 2),
    "dyck_2_3": nested(2, 3),
    "dyck_8_10": nested(8, 10),
}
