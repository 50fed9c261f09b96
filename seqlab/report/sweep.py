"""How a sweep ends: with the table of its runs, and with those that are missing from it."""

import sys
from pathlib import Path

from seqlab.run.directory import in_use, read_status


def conclude(folder: Path) -> int:
    """Print the table of the finished runs below a folder, and the others with their reasons; returns the exit code."""
    from seqlab.report.collect import summaries  # matplotlib loads here, not for --help
    from seqlab.report.formats import sheets
    from seqlab.report.rows import tables_of
    from seqlab.show.layout import show

    statuses = {path.parent: read_status(path.parent) for path in sorted(folder.rglob("status.json"))}
    finished = [run for run in summaries([folder]) if statuses.get(run["path"], {}).get("status") == "done"]
    show(*sheets(tables_of(finished), []))
    print(f"sweep directory: {folder.resolve()}")
    others = {run: content for run, content in statuses.items() if content["status"] != "done"}
    for run, content in others.items():
        status = content["status"]
        if status == "running":
            status = "running elsewhere" if in_use(run) else "killed"
        print(f"{status}: {run}: {content.get('reason', '')}".rstrip(": "), file=sys.stderr)
    if others:
        print(
            f"sweep: {len(others)} of {len(statuses)} jobs did not finish; the same command runs these again",
            file=sys.stderr,
        )
    return 3 if others else 0
