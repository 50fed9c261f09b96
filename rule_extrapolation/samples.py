"""A few completions of each set of prompts, as a Markdown table for the logs."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

NUM_SHOWN = 6  # completions per set of prompts


def sampled_rows(sizes: Sequence[int]) -> list[int]:
    """A few rows of each set, evenly spaced; the sets follow one another.

    >>> sampled_rows([1, 12])
    [0, 1, 3, 5, 7, 9, 11]
    """
    starts = accumulate(sizes, initial=0)
    return [
        start + row
        for start, size in zip(starts, sizes, strict=False)
        for row in range(0, size, max(1, size // NUM_SHOWN))[:NUM_SHOWN]
    ]


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Completions as a Markdown table."""
    columns = ("set", "prompt", "completion", "rule_1", "rule_2_completion", "grammatical", "finished")
    lines = ["|".join(columns), "|".join("-" for _ in columns)]
    for record in records:
        lines.append("|".join(f"`{record[c]}`" if c in ("prompt", "completion") else str(record[c]) for c in columns))
    return "\n".join(lines)


def few(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """An ID prompt and two OOD prompts, or what there is: prompt, completion, and what it keeps."""
    sets = {name: [record for record in records if record["set"] == name] for name in ("id", "ood")}
    rows = []
    for record in [*sets["id"][:1], *sets["ood"][:2]]:
        kept = "in the language" if record["grammatical"] else f"keeps rule 1: {'yes' if record['rule_1'] else 'no'}"
        rows.append((record["prompt"], record["completion"] or "(end)", kept))
    return rows
