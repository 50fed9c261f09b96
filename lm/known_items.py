"""Known-item retrieval: each query has exactly one relevant document among thousands.

`halves`: the first half of a speech in one of the 38 plays is the query, the second half the document. `lines`: the
even lines of a speech are the query, the odd ones the document. The second half continues the first, and the odd lines
do not continue the even ones: what helps in both is more than continuation. `summaries`: the last sentence of a summary
is the query, the text before it the document.

Three sets of plays are apart: what is tuned is tuned on one, what is chosen is chosen by the queries of the second
(`val`), and the queries of the third (`test`) are asked once. The model was trained on neither val nor test.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from lm.corpus import Corpus, load_corpus, plays, speeches
from lm.derive_plays import NINE
from lm.passages import passages
from seqlab.errors import InputError
from seqlab.randomness import permutation

FEWEST_WORDS = 60  # of a speech
MOST_QUERIES = 1000
QUERY_PLAYS = 12  # of test: the alphabetically last plays that are not in tiny-shakespeare
CHOICE_PLAYS = 6  # of val: those before them
LONG_LINE = 20  # characters; shorter lines occur in many plays
SEED = 1

Task = Literal["halves", "lines", "summaries"]


class Pair(NamedTuple):
    """A query and its document: two pieces of one text."""

    query: str
    document: str


class Asked(NamedTuple):
    """Queries, and for each the index of its document."""

    queries: list[str]
    relevant: list[int]


class KnownItems(NamedTuple):
    """A retrieval task.

    description: one line for titles.
    documents: all documents to rank.
    val: queries to choose settings by; there may be none.
    test: queries to report.
    tuning: other texts, whole, to tune on; the documents that they contain are among those to rank.
    """

    description: str
    documents: list[str]
    val: Asked
    test: Asked
    tuning: list[str]


def items_of(corpus: Corpus, task: Task | None = None) -> KnownItems:
    """The retrieval task for a model that was trained on the training part of a corpus.

    Args:
        corpus: the corpus.
        task: default: summaries for corpus=wiki, else halves.
    """
    if task is None:
        task = "summaries" if corpus.name == "wiki" else "halves"
    if task == "summaries":
        articles = corpus if corpus.name == "wiki" else load_corpus("wiki")
        return summary_items(articles.train, articles.val, articles.test)
    return speech_items(corpus.train, task)


def tuning_texts(corpus: Corpus) -> list[str]:
    """Texts to tune on for a model that was trained on a corpus: of the user's own text its training part, in passages.

    Raises:
        InputError: as `items_of`.
    """
    return passages(corpus.train) if corpus.name in ("files", "hf") else items_of(corpus).tuning


def halves(speech: str) -> Pair | None:
    """A speech cut after half of its words, or None if it has fewer than 60 words.

    >>> halves("word " * 60).query.count("word")
    30
    """
    words = speech.split()
    if len(words) < FEWEST_WORDS:
        return None
    middle = len(words) // 2
    return Pair(" ".join(words[:middle]), " ".join(words[middle:]))


def every_other_line(speech: str) -> Pair | None:
    """The even lines of a speech (from 0) and its odd ones, or None if it has one line or fewer than 60 words.

    >>> every_other_line("\\n".join(f"line {i} " + "word " * 13 for i in range(4))).document[:6]
    'line 1'
    """
    lines = [line for line in speech.split("\n") if line.strip()]
    if len(lines) < 2 or len(speech.split()) < FEWEST_WORDS:
        return None
    return Pair(*(" ".join(" ".join(lines[start::2]).split()) for start in (0, 1)))


CUTS: Mapping[str, tuple[str, Callable[[str], Pair | None]]] = {
    "halves": ("first half of a speech -> second half", halves),
    "lines": ("even lines of a speech -> odd lines", every_other_line),
}


def speech_items(training_text: Sequence[str], task: Literal["halves", "lines"] = "halves") -> KnownItems:
    """Pieces of the speeches of the 38 plays, for a model that was trained on the given text.

    Queries come from 12 plays that are not in tiny-shakespeare (test) and from 6 others (val), without those in the
    training text. The speeches of the other plays are there to tune on.

    Raises:
        InputError: the training text contains all plays of test.
    """
    how, cut = CUTS[task]
    lines = {line for text in training_text for line in text.split("\n") if len(line) >= LONG_LINE}
    texts = plays()
    others = [name for name in texts if name not in NINE]
    of_test, of_val = others[-QUERY_PLAYS:], others[-QUERY_PLAYS - CHOICE_PLAYS : -QUERY_PLAYS]
    unseen = [name for name in (*of_test, *of_val) if not was_read(texts[name], lines)]
    if not set(unseen) & set(of_test):
        raise InputError("the model was trained on all plays that the queries come from")
    said = {name: [speech for _, speech in speeches(text)] for name, text in texts.items()}
    flat = [(name, pair) for name in texts for speech in said[name] if (pair := cut(speech))]
    val, test = (
        chosen([place for place, (name, _) in enumerate(flat) if name in unseen and name in part])
        for part in (of_val, of_test)
    )
    return KnownItems(
        f"{how} ({len(test):,} queries from {len(set(unseen) & set(of_test))} plays that the model was not trained on, "
        f"{len(flat):,} documents)",
        [pair.document for _, pair in flat],
        Asked([flat[place][1].query for place in val], val),
        Asked([flat[place][1].query for place in test], test),
        [" ".join(speech.split()) for name in texts if name not in (*of_val, *of_test) for speech in said[name]],
    )


def was_read(text: str, training_lines: set[str]) -> bool:
    """Whether more than one in twenty of a text's long lines are in the training text."""
    lines = [line for line in text.split("\n") if len(line) >= LONG_LINE]
    return sum(line in training_lines for line in lines) > 0.05 * len(lines)


def chosen(candidates: Sequence[int]) -> list[int]:
    """At most MOST_QUERIES of the candidates, in order, chosen with a fixed seed."""
    order = permutation(SEED, "queries", 0, len(candidates)).tolist()
    return sorted(candidates[place] for place in order[:MOST_QUERIES])


def last_sentence(summary: str) -> Pair | None:
    """The last sentence of a summary and the text before it, or None if it has only one sentence.

    >>> last_sentence("Bees fly. They sting. They hum.")
    Pair(query='They hum.', document='Bees fly. They sting.')
    """
    sentences = re.split(r"""(?<=[.!?])\s+(?=[A-Z"'(])""", " ".join(summary.split()))
    if len(sentences) < 2:
        return None
    return Pair(sentences[-1], " ".join(sentences[:-1]))


def summary_items(train: Sequence[str], val: Sequence[str], test: Sequence[str]) -> KnownItems:
    """Last sentences of summaries from `lm.packaged_text`. Queries come from the held-out summaries.

    Raises:
        InputError: no test summary has two sentences.
    """
    bodies = [[text.partition("\n\n")[2] for text in part] for part in (train, val, test)]
    pairs = [[pair for body in part if (pair := last_sentence(body))] for part in bodies]
    if not pairs[2]:
        raise InputError("no summary that the model was not trained on has two sentences")
    flat = [pair for part in pairs for pair in part]
    ends = [0, *accumulate(map(len, pairs))]
    of_val, of_test = (chosen(range(ends[part], ends[part + 1])) for part in (1, 2))
    return KnownItems(
        f"last sentence of a summary -> the rest ({len(of_test):,} queries of summaries that the model was not trained "
        f"on, {len(flat):,} documents)",
        [pair.document for pair in flat],
        Asked([flat[place].query for place in of_val], of_val),
        Asked([flat[place].query for place in of_test], of_test),
        bodies[0],
    )
