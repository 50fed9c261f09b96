"""All rankers on one retrieval task: scores, weights chosen on val, the table and the paired differences on test."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lm import rankers
from lm.continuation import Continuation, document_ids, embedded, query_ids
from lm.hybrid import (
    GRID,
    NUM_RERANKED,
    RERANKING_WEIGHT,
    WEIGHTS,
    best_places,
    chosen_weights,
    reranked,
    standardized,
    weighted,
)
from lm.known_items import KnownItems
from lm.lexical import LexicalEmbedding
from lm.likelihood import contexts_of, log_likelihoods, usual
from lm.ranking import Estimate, difference, differences, evaluate, ranks, reciprocal, table
from lm.vectors import Encode, fit, vectors
from seqlab.model import SequenceModel

MOST_VAL_RERANKED = 200  # queries of val that the weight of re-ranking is chosen by: each costs as much as one of test
UNTRAINED = ", untrained"  # ends the name of a continuation embedding tuned from an untrained model


class Scores(NamedTuple):
    """Scores of one ranker, (queries, documents) each; higher is better."""

    val: np.ndarray
    test: np.ndarray


class Comparison(NamedTuple):
    """What is known of some rankers, from one run or several.

    description: of the task, one line.
    ranks: of the document of each query of test, (runs, queries), by ranker.
    compared: pairs of rankers whose difference is asked for.
    weights: what was chosen on val, in words, by ranker, for each run.
    """

    description: str
    ranks: dict[str, np.ndarray]
    compared: list[tuple[str, str]]
    weights: dict[str, list[str]]

    @property
    def rows(self) -> dict[str, dict[str, Estimate]]:
        """Metrics on test by ranker."""
        return {name: evaluate(found) for name, found in self.ranks.items()}

    @property
    def pairs(self) -> dict[str, Estimate]:
        """Paired differences in MRR@10."""
        gains = {name: reciprocal(found) for name, found in self.ranks.items()}
        return {f"{first} less {second}": difference(gains[first], gains[second]) for first, second in self.compared}

    def __str__(self) -> str:
        num_runs = max(map(len, self.ranks.values()))
        title = self.description if num_runs == 1 else f"{self.description}; mean over {num_runs} runs"
        chosen = [f"- {name}: {'; '.join(dict.fromkeys(weights))}" for name, weights in self.weights.items()]
        return "\n".join([table(title, self.rows), "", differences(self.pairs), "", "weights, chosen on val:", *chosen])


def joined(comparisons: Sequence[Comparison]) -> Comparison:
    """One comparison of several runs, such as three seeds; they have the same queries and the same rankers."""
    first = comparisons[0]
    return first._replace(
        ranks={name: np.concatenate([each.ranks[name] for each in comparisons]) for name in first.ranks},
        weights={name: [words for each in comparisons for words in each.weights[name]] for name in first.weights},
    )


def compare(
    items: KnownItems,
    words: Mapping[str, Scores],
    encode: Encode,
    model: SequenceModel,
    fresh: SequenceModel,
    tuned: Mapping[str, Continuation],
) -> Comparison:
    """Every ranker on the queries of test. What there is to choose is chosen by those of val.

    Args:
        items: the task.
        words: scores of the rankers that need no language model, `without_model(items)`.
        encode: text to ids.
        model: the trained language model.
        fresh: the same before its first step.
        tuned: {name: continuation embedding}, tuned on `items.tuning` or on other texts without the queries. The name
            of a control ends in ", untrained", after the name of what it is the control of.
    """
    alone = {
        **words,
        "states of the untrained model": of_states(fresh, encode, items),
        "states of the model": of_states(model, encode, items),
    }
    own = {name: of_continuation(continuation, encode, items) for name, continuation in tuned.items()}
    stages: dict[str, Scores] = {}
    weights: dict[str, str] = {}
    for parts in (("BM25",), ("BM25", "lexical")):
        first = {part: words[part] for part in parts}
        title = " + ".join(parts)
        stages[title], weights[title] = mixed(first, items)
        for name, scores in own.items():
            longer = f"{title} + continuation ({name})"
            stages[longer], weights[longer] = mixed({**first, "continuation": scores}, items)
    del weights["BM25"]  # there is nothing to choose
    everything = [f"BM25 + lexical + continuation ({name})" for name in own if not name.endswith(UNTRAINED)]
    again = reranked_stages({name: stages[name] for name in ("BM25", *everything)}, model, encode, items, weights)
    test = {name: ranks(scores.test, items.test.relevant) for name, scores in ({**alone, **stages}).items()} | again
    compared = [(name, "BM25") for name in test if name != "BM25"]
    compared += [("lexical", "LSA, 256"), *((name, "BM25 + lexical") for name in everything)]
    compared += [(name, control) for name in stages if (control := f"{name[:-1]}{UNTRAINED})") in stages]
    return Comparison(
        items.description,
        {name: found[None] for name, found in test.items()},
        compared,
        {name: [words] for name, words in weights.items()},
    )


def without_model(items: KnownItems) -> dict[str, Scores]:
    """Rankers that need no language model."""
    documents, both = items.documents, [*items.val.queries, *items.test.queries]
    small, large = rankers.lsa(both, documents)
    embedding = LexicalEmbedding().fit(documents, tuning=items.tuning)
    found = {
        "BM25": rankers.bm25(both, documents),
        "TF-IDF": rankers.tf_idf(both, documents),
        "TF-IDF, sublinear": rankers.tf_idf(both, documents, sublinear=True),
        "LSA, 256": small,
        "LSA, 1024": large,
        "lexical": embedding.transform(both) @ embedding.transform(documents).T,
    }
    if (by_minilm := rankers.minilm(both, documents)) is not None:
        found["all-MiniLM-L6-v2"] = by_minilm
    return {name: parted(scores, items) for name, scores in found.items()}


def parted(scores: np.ndarray, items: KnownItems) -> Scores:
    """Scores of the queries of val and test, in this order, in two parts."""
    return Scores(*np.split(np.asarray(scores), [len(items.val.queries)]))


def of_states(model: SequenceModel, encode: Encode, items: KnownItems) -> Scores:
    """Cosine similarities of a language model's pooled states (lm/vectors.py)."""
    fitted, of_documents = fit(model, encode, items.documents)
    directions = vectors(model, encode, [*items.val.queries, *items.test.queries], fitted)
    return parted((directions @ of_documents.T).numpy(), items)


def of_continuation(continuation: Continuation, encode: Encode, items: KnownItems) -> Scores:
    """Similarities of a continuation embedding."""
    both = embedded(continuation, encode, [*items.val.queries, *items.test.queries], queries=True)
    return parted(both @ embedded(continuation, encode, items.documents).T, items)


def mixed(scores: Mapping[str, Scores], items: KnownItems) -> tuple[Scores, str]:
    """The weighted sum of rankers, and its weights in words."""
    weights = {name: WEIGHTS[name] for name in scores}
    if items.val.queries:
        weights = chosen_weights({name: each.val for name, each in scores.items()}, items.val.relevant, "BM25")
    total = [weighted({name: each[part] for name, each in scores.items()}, weights) for part in (0, 1)]
    return Scores(*total), ", ".join(f"{weight} {name}" for name, weight in weights.items())


def reranked_stages(
    stages: Mapping[str, Scores], model: SequenceModel, encode: Encode, items: KnownItems, weights: dict[str, str]
) -> dict[str, np.ndarray]:
    """{name: ranks on test} of each stage with its first 100 re-ranked by the model. Adds to `weights`."""
    documents = [document_ids(encode, text) for text in items.documents]
    prior = usual(model, contexts_of(encode, items.tuning), documents).numpy()
    num_val = min(MOST_VAL_RERANKED, len(items.val.queries))
    queries = [*items.val.queries[:num_val], *items.test.queries]
    relevant = [*items.val.relevant[:num_val], *items.test.relevant]
    rows = {name: standardized(np.concatenate([each.val[:num_val], each.test])) for name, each in stages.items()}
    found = {name: np.zeros((len(GRID), len(queries)), np.int64) for name in rows}
    for number, query in enumerate(queries):
        places = {name: best_places(scores[number], NUM_RERANKED) for name, scores in rows.items()}
        union = np.unique(np.concatenate([*places.values()]))
        likely = log_likelihoods(model, query_ids(encode, query), [documents[place] for place in union]).numpy()
        likely -= prior[union]
        for name, own in places.items():
            further = likely[np.searchsorted(union, own)]
            options = np.stack([reranked(rows[name][number], own, further, weight) for weight in GRID])
            found[name][:, number] = ranks(options, [relevant[number]] * len(GRID))
    again = {}
    for name, options in found.items():
        best = GRID.index(RERANKING_WEIGHT)
        if num_val:
            best = int(np.argmax([reciprocal(option[:num_val]).mean() for option in options]))
        again[f"{name}, re-ranked"] = options[best, num_val:]
        weights[f"{name}, re-ranked"] = f"{GRID[best]} likelihood"
    return again
