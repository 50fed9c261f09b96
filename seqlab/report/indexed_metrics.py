"""Finds metrics with an index, such as beta_0 ... beta_7 or accuracy_by_length/1 ... 8, which the report plots."""

import re
from collections.abc import Iterable

FEWEST = 4  # fewer points, such as rule_1 and rule_2, do not make a curve


def indexed_metrics(names: Iterable[str], stage: str = "test") -> dict[str, dict[int, str]]:
    """Group the indexed metrics of a stage: {name without its index: {index: metric}}.

    >>> list(indexed_metrics(f"test/s3/beta_{k}" for k in range(8)))
    ['s3/beta']
    >>> indexed_metrics([f"test/by_length/{n}" for n in range(1, 5)] + ["test/id/rule_1"])
    {'by_length': {1: 'test/by_length/1', 2: 'test/by_length/2', 3: 'test/by_length/3', 4: 'test/by_length/4'}}
    """
    found: dict[str, dict[int, str]] = {}
    groups: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition("/")
        if first == stage:
            group, _, metric = rest.rpartition("/")
            groups.setdefault(group, []).append(metric)
    for group, metrics in groups.items():
        only_indices = all(metric.isdecimal() for metric in metrics)
        for metric in metrics:
            parts = re.fullmatch(r"(\D*?)_?(\d{1,9})", metric)
            if parts and (only_indices or parts[1]):
                family = "/".join(part for part in (group, parts[1]) if part)
                full = "/".join(part for part in (stage, group, metric) if part)
                found.setdefault(family, {})[int(parts[2])] = full
    return {family: dict(sorted(of.items())) for family, of in found.items() if len(of) >= FEWEST}
