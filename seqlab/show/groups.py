"""Parses metric names: test/ood/rule_1 is the metric rule_1 of the group ood at the stage test."""

from typing import Any


def groups_of(summary: dict[str, Any], stage: str = "test") -> dict[str, list[str]]:
    """{group: [metric, ...]} of a summary's metrics, in their order. The group "" holds metrics without a group.

    >>> groups_of({"metrics": {"test/loss": 1.0, "test/ood/rule_1": 0.5, "test_last/loss": 2.0}})
    {'': ['loss'], 'ood': ['rule_1']}
    """
    groups: dict[str, list[str]] = {}
    for name in summary["metrics"]:
        first, _, rest = name.partition("/")
        if first == stage:
            group, _, metric = rest.rpartition("/")
            groups.setdefault(group, []).append(metric)
    return groups


def full_name(stage: str, group: str, metric: str) -> str:
    """The full name of a metric; the inverse of `groups_of`.

    >>> full_name("test", "", "loss"), full_name("test", "ood", "rule_1")
    ('test/loss', 'test/ood/rule_1')
    """
    return "/".join(part for part in (stage, group, metric) if part)
