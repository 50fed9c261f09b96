"""Known-item retrieval: each query has exactly one relevant document among thousands.

`speeches`: the first half of a speech in one of the 38 plays is the query, the second half the document. `summaries`:
the last sentence of a summary is the query, the text before it the document. Tuning pairs contain no query. Queries
come from whole plays, or another part of the corpus, that the model was not trained on.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from lm.corpus import Corpus, load_corpus, plays, speeches
from lm.derive_plays import NINE
from seqlab.errors import InputError
from seqlab.randomness import permutation

FEWEST_WORDS = 60  # of a speech
MOST_QUERIES = 1000
QUERY_PLAYS = 12  # the alphabetically last plays that are not in tiny-shakespeare
LONG_LINE = 20  # characters; shorter lines occur in many plays
SEED = 1

Task = Literal["speeches", "summaries"]


class Pair(NamedTuple):
    """A query and its document: two pieces of one text."""

    query: str
    document: str


class KnownItems(NamedTuple):
    """A retrieval task.

    description: one line for titles.
    documents: all documents to rank.
    queries: the queries.
    relevant: for each query, the index of its document.
    tuning: pairs for fine-tuning, from other texts; their documents are among those to rank.
    """

    description: str
    documents: list[str]
    queries: list[str]
    relevant: list[int]
    tuning: list[Pair]


def items_of(corpus: Corpus, task: Task | None = None) -> KnownItems:
    """The retrieval task for a model that was trained on the training part of a corpus."""
    if task == "summaries" or (task is None and corpus.name == "wiki"):
        articles = corpus if corpus.name == "wiki" else load_corpus("wiki")
        return summary_items(articles.train, [*articles.val, *articles.test])
    return speech_items(corpus.train)


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


def speech_items(training_text: Sequence[str]) -> KnownItems:
    """Halves of the speeches of the 38 plays, for a model that was trained on the given text.

    Queries come from 12 plays that are not in tiny-shakespeare, without those in the training text.

    Raises:
        InputError: the training text contains all of these plays.
    """
    lines = {line for text in training_text for line in text.split("\n") if len(line) >= LONG_LINE}
    texts = plays()
    query_plays = [name for name in texts if name not in NINE][-QUERY_PLAYS:]
    unseen = [name for name in query_plays if not was_read(texts[name], lines)]
    if not unseen:
        raise InputError("the model was trained on all plays that the queries come from")
    pairs = {name: [pair for _, said in speeches(text) if (pair := halves(said))] for name, text in texts.items()}
    documents = [pair.document for name in texts for pair in pairs[name]]
    of_play = [name for name in texts for _ in pairs[name]]
    flat = [pair for name in texts for pair in pairs[name]]
    candidates = [place for place, name in enumerate(of_play) if name in unseen]
    places = chosen(candidates)
    return KnownItems(
        f"first half of a speech -> second half ({len(places):,} queries from {len(unseen)} plays that the model was "
        f"not trained on, {len(documents):,} documents)",
        documents,
        [flat[place].query for place in places],
        places,
        [pair for name in texts if name not in query_plays for pair in pairs[name]],
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


def summary_items(train: Sequence[str], held_out: Sequence[str]) -> KnownItems:
    """Last sentences of summaries from `lm.packaged_text`. Queries come from the held-out summaries.

    Raises:
        InputError: no held-out summary has two sentences.
    """
    tuning = [pair for text in train if (pair := last_sentence(text.partition("\n\n")[2]))]
    pairs = [pair for text in held_out if (pair := last_sentence(text.partition("\n\n")[2]))]
    if not pairs:
        raise InputError("no summary that the model was not trained on has two sentences")
    documents = [pair.document for pair in [*tuning, *pairs]]
    places = chosen(range(len(tuning), len(documents)))
    return KnownItems(
        f"last sentence of a summary -> the rest ({len(places):,} queries of summaries that the model was not trained "
        f"on, {len(documents):,} documents)",
        documents,
        [pairs[place - len(tuning)].query for place in places],
        places,
        tuning,
    )
