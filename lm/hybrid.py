"""One ranking from several: weighted sums of scores that are standardised for each query.

The sum of a ranker of words and one of continuations is better than either (docs/results/text). Ranks are not summed:
reciprocal ranks (Cormack et al. 2009) let a weak ranker count as much as a strong one.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from lm.ranking import ranks, reciprocal

NUM_RERANKED = 100
ROUNDING = 1e-6  # relative to the highest score, which may be float32
GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
# Where no queries are known to choose them by, such as in a search. Of the continuation the weight with the highest
# mean over halves and lines on the validation plays: a query may or may not be continued by what it looks for. Beside
# both embeddings validation chose no re-ranking, so a search has none.
WEIGHTS = {"BM25": 1.0, "lexical": 0.25, "continuation": 0.25}
RERANKING_WEIGHT = 0.0


def standardized(scores: np.ndarray) -> np.ndarray:
    """Scores (..., documents) less the mean over documents, divided by the standard deviation; 0 where all are equal.

    Scores that differ by rounding alone are equal: a query's words may be in all documents as often.

    >>> standardized(np.array([[1.0, 3.0], [5.0, 5.0], [0.3, 0.1 + 0.2]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    centred = scores - scores.mean(-1, keepdims=True)
    spread = centred.std(-1, keepdims=True)
    differ = spread > ROUNDING * np.abs(scores).max(-1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=differ)


def weighted(scores: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """The weighted sum of standardised scores (..., documents)."""
    return np.sum([weights[name] * standardized(scores[name]) for name in weights], axis=0)


def best_places(scores: np.ndarray, number: int) -> np.ndarray:
    """The places of the `number` highest of scores (documents,), best first; of equal ones the first.

    >>> best_places(np.array([1.0, 3.0, 2.0, 3.0]), 3).tolist()
    [1, 3, 2]
    >>> best_places(np.array([3.0, 1.0, 3.0, 3.0]), 2).tolist()
    [0, 2]
    """
    number = min(number, len(scores))
    last = -np.partition(-scores, number - 1)[number - 1]
    above = np.flatnonzero(scores > last)
    found = np.sort(np.concatenate([above, np.flatnonzero(scores == last)[: number - len(above)]]))
    return found[np.argsort(-scores[found], kind="stable")]


def reranked(scores: np.ndarray, places: np.ndarray, further: np.ndarray, weight: float) -> np.ndarray:
    """Scores (documents,) of the first stage, with those at `places` raised above all others and re-ranked.

    Args:
        scores: (documents,), standardised.
        places: of the documents to re-rank.
        further: their scores by the second ranker, standardised among them here.
        weight: of these scores.
    """
    found = np.full_like(scores, -np.inf)
    found[places] = scores[places] + weight * standardized(further)
    return found


def chosen_weights(scores: Mapping[str, np.ndarray], relevant: Sequence[int], first: str) -> dict[str, float]:
    """The weights of the grid with the highest MRR@10; that of ranker `first` is 1, of equally good ones the lowest.

    Args:
        scores: {ranker: (queries, documents)}.
        relevant: for each query, the index of its document.
        first: the ranker whose weight is 1.
    """
    plain = {name: standardized(rows) for name, rows in scores.items()}
    others = [name for name in plain if name != first]
    tried = {}
    for grid in product(GRID, repeat=len(others)):
        total = sum((weight * plain[name] for name, weight in zip(others, grid, strict=True)), plain[first])
        tried[grid] = float(reciprocal(ranks(total, relevant)).mean())
    best = max(tried, key=lambda grid: tried[grid])
    return {first: 1.0, **dict(zip(others, best, strict=True))}
