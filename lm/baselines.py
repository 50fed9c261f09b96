"""Baselines of language modelling: compressors, and n-grams of characters and of tokens."""

import gzip
import lzma
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lm.corpus import Corpus
from lm.kneser_ney import CODE_BITS, KneserNey, bits_of
from seqlab.attempts import Attempts

CHARACTER_ORDERS = (5, 6, 7)
TOKEN_ORDERS = (3, 4, 5)
MOST_CHARACTERS = 10_000_000  # limit of training text; all baselines together then take about a minute

Encode = Callable[[Sequence[str]], np.ndarray]


def compare(corpus: Corpus, encode: Encode, vocabulary_size: int) -> Attempts[dict[str, float]]:
    """Bits per character and per byte of the test part for each baseline; for n-grams of tokens also the perplexity.

    As in lm.metrics, bits are all nats / ln 2, including document separators. Compressors have no separators. n-grams
    are fitted on the training part; the order is the best one on the validation part. Only the last 10 million
    characters of training text are used; if there are more, the names say so.

    Args:
        corpus: the text.
        encode: documents to ids, with an id before each document.
        vocabulary_size: number of these ids.
    """
    train = tail(corpus.train, MOST_CHARACTERS)
    text, before = "".join(corpus.test).encode(), "".join(train).encode()
    per_unit = {"test/bits_per_character": sum(map(len, corpus.test)), "test/bits_per_byte": len(text)}

    def result(bits: float) -> dict[str, float]:
        return {name: bits / number for name, number in per_unit.items()}

    short = sum(map(len, train)) < sum(map(len, corpus.train))
    less = f", {MOST_CHARACTERS / 1e6:.0f} M characters of training text" if short else ""
    rows = Attempts[dict[str, float]]()
    with rows.attempt("gzip"):
        rows["gzip"] = result(8 * len(gzip.compress(text, 9, mtime=0)))
    with rows.attempt("xz"):
        rows["xz"] = result(8 * len(xz(text)))
    with rows.attempt(name := f"xz after the training text{less}"):
        rows[name] = result(8 * (len(xz(before + text)) - len(xz(before))))
    alphabet = sorted(set().union(*corpus.train, *corpus.val, *corpus.test))
    for unit, to_ids, size, orders in (
        ("token", encode, vocabulary_size, (1,)),
        ("token", encode, vocabulary_size, TOKEN_ORDERS),
        ("character", character_encoder(alphabet), len(alphabet) + 1, CHARACTER_ORDERS),
    ):
        kind = "unigram" if orders == (1,) else "n-gram"
        with rows.attempt(f"{kind} of {unit}s{less}"):
            parts = (to_ids(train), to_ids(corpus.val), to_ids(corpus.test))
            order, nats = best_n_gram(*parts, size, orders)
            name = f"unigram of {unit}s" if order == 1 else f"{order}-gram of {unit}s (Kneser-Ney)"
            perplexity = {"test/perplexity": math.exp(float(nats.mean()))} if unit == "token" else {}
            rows[name + less] = perplexity | result(float(nats.sum()) / math.log(2))
    return rows


def best_n_gram(
    train: np.ndarray, val: np.ndarray, test: np.ndarray, vocabulary_size: int, orders: Iterable[int]
) -> tuple[int, np.ndarray]:
    """The order with the lowest loss on val, and the nats of every id of test but the first: (length - 1,) float64.

    Orders whose n-grams exceed 63 bits or the length of the training text are skipped.
    """
    possible = [order for order in orders if order * bits_of(vocabulary_size) <= CODE_BITS and order <= len(train)]
    best: tuple[float, int, np.ndarray] | None = None
    for order in possible or [1]:
        model = KneserNey(train, order, vocabulary_size)
        cost = float(model.nats(val)[1:].sum())
        if best is None or cost < best[0]:
            best = cost, order, model.nats(test)[1:]
        del model  # frees its memory before the next one is built
    assert best is not None
    return best[1], best[2]


def character_encoder(alphabet: Sequence[str]) -> Encode:
    """An encoder with one id per character of the alphabet, from 1 on in its order, and 0 before each document.

    >>> character_encoder("abc")(["ab", "cb"]).tolist()
    [0, 1, 2, 0, 3, 2]
    """
    number = np.zeros(max(map(ord, alphabet)) + 1, dtype=np.min_scalar_type(len(alphabet)))
    number[[ord(character) for character in alphabet]] = np.arange(1, len(alphabet) + 1)

    def encode(documents: Sequence[str]) -> np.ndarray:
        codes = (np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32) for text in documents)
        return np.concatenate([piece for code in codes for piece in (np.zeros(1, number.dtype), number[code])])

    return encode


def tail(documents: Sequence[str], most: int) -> list[str]:
    """The last `most` characters of the documents, as documents.

    >>> tail(["abc", "de", "fgh"], 4)
    ['e', 'fgh']
    """
    kept: list[str] = []
    for document in reversed(documents):
        if most <= 0:
            break
        kept.append(document[-most:])
        most -= len(document)
    return kept[::-1]


def xz(content: bytes) -> bytes:
    """The content compressed by xz at its highest level. The 64 MiB dictionary covers all of the training text."""
    return lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
