"""Byte-pair encoding in plain Python: the merges of Sennrich et al. (2016), one by one, over bytes."""

import json
from itertools import pairwise


def read_merges(tokenizer_json: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges, in order, of a tokenizer that `tokenizers` wrote."""
    model = json.loads(tokenizer_json)["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def byte_names() -> list[str]:
    """The printable character that stands for each byte (Radford et al. 2019): itself, or one from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256))
    return [chr(byte) if byte in printable else chr(256 + next(others)) for byte in range(256)]


def encode_word(word: str, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> list[int]:
    """The ids of one pre-token: the earliest learned merge that applies is applied everywhere, until none does."""
    names = byte_names()
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    parts = [names[byte] for byte in word.encode()]
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged, place = [], 0
        while place < len(parts):
            if tuple(parts[place : place + 2]) == best:
                merged.append("".join(best))
                place += 2
            else:
                merged.append(parts[place])
                place += 1
        parts = merged
    return [vocabulary[part] for part in parts]


def train_merges(words: dict[str, int], num_merges: int) -> list[tuple[str, str]]:
    """The most frequent pair, joined, again and again; of equally frequent pairs none is preferred here.

    Returns the pairs in order and stops before the first tie for the most frequent one.
    """
    names = byte_names()
    split = {word: [names[byte] for byte in word.encode()] for word in words}
    merges = []
    for _ in range(num_merges):
        counts: dict[tuple[str, str], int] = {}
        for word, parts in split.items():
            for pair in pairwise(parts):
                counts[pair] = counts.get(pair, 0) + words[word]
        best = max(counts.values())
        winners = [pair for pair, count in counts.items() if count == best]
        if len(winners) > 1:
            break
        merges.append(winners[0])
        for word, parts in split.items():
            joined, place = [], 0
            while place < len(parts):
                if tuple(parts[place : place + 2]) == winners[0]:
                    joined.append("".join(winners[0]))
                    place += 2
                else:
                    joined.append(parts[place])
                    place += 1
            split[word] = joined
    return merges
