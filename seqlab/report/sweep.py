"""Prints the summary at the end of a sweep: the table of its runs, and the unfinished ones."""

import sys
from pathlib import Path

from seqlab.run.directory import RunDirectory


def conclude(folder: Path) -> int:
    """Print the table of the finished runs below a folder, and the other runs with reasons. Returns the exit code."""
    from seqlab.report.collect import summaries  # imports matplotlib: here, so that --help is quick
    from seqlab.report.formats import sheets
    from seqlab.report.rows import tables_of
    from seqlab.show.layout import show

    name = RunDirectory(folder).status.name
    statuses = {path.parent: RunDirectory(path.parent).read_status() for path in sorted(folder.rglob(name))}
    done = {path for path, status in statuses.items() if status.state == "done"}
    finished = [run for run in summaries([folder]) if run["path"] in done]
    show(*sheets(tables_of(finished), []))
    print(f"sweep directory: {folder.resolve()}")
    others = {path: status for path, status in statuses.items() if path not in done}
    for path, status in others.items():
        state = status.state
        if state == "running":
            state = "running elsewhere" if RunDirectory(path).in_use() else "killed"
        print(f"{state}: {path}: {status.reason}".rstrip(": "), file=sys.stderr)
    if others:
        print(
            f"sweep: {len(others)} of {len(statuses)} jobs did not finish; the same command runs these again",
            file=sys.stderr,
        )
    return 3 if others else 0
