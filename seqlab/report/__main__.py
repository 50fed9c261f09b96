"""Collect runs into one table: python -m seqlab.report outputs/L5 --format html --out report.html

A row for each data x model, and for each setting where its runs differ in more than the seed; mean and standard
deviation over seeds, baselines and chance beside them, the best in bold; unfinished and failed runs are listed apart.
"""

import argparse
import hashlib
import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError, nearest
from seqlab.files import write_text
from seqlab.output import take_any_text
from seqlab.report.collect import Collection, collect, plots_of
from seqlab.report.effects import effects_of
from seqlab.report.formats import comma_separated, latex, markdown, sheets
from seqlab.report.rows import Apart, Table, tables_of
from seqlab.run.config import folder_name, one_name
from seqlab.show.layout import show

SUFFIXES = {"terminal": ".txt", "markdown": ".md", "csv": ".csv", "latex": ".tex", "html": ".html"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the report on all runs below some folders; returns the exit code."""
    take_any_text()
    parser = Parser(prog="python -m seqlab.report", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run directories, or folders of them")
    parser.add_argument("--format", help=f"{', '.join(SUFFIXES)}; default: what --out ends in, or else\n"
                        "terminal, and markdown where the output is no terminal")  # fmt: skip
    parser.add_argument("--out", type=Path, help="a file; or a folder, which gets table.md (.csv ...) and, with\n"
                        "markdown, every run's plots")  # fmt: skip
    parser.add_argument("--effects", metavar="MODEL", help="a row, as the column \"model\" names it: also show the\n"
                        "mean difference of each other row over the seeds that both have")  # fmt: skip
    options = parser.parse_args(arguments)
    started()
    try:
        report(options.folders, options.format, options.out, options.effects)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def report(folders: Sequence[Path], format: str | None, out: Path | None, reference: str | None = None) -> None:
    """Print the report, or write it to a file or into a folder.

    Args:
        folders: with runs at any depth.
        format: one of SUFFIXES; None: what suits `out`.
        out: a file or a folder; None: the terminal.
        reference: the row from which the effects of all others are measured, too.

    Raises:
        InputError: for a format that there is not, folders without a run, or a reference that is no row.
        OSError: that names the file, where it cannot be written.
    """
    format = chosen_format(format, out)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give run directories, or folders of them")
    collection = collect(folders)
    if not collection.runs and not collection.apart:
        raise InputError(
            f"no run below {', '.join(map(str, folders))}: a run directory has .hydra, status.json or summary.json"
        )
    tables = tables_of(collection.runs)
    if reference is not None:
        tables += effects_of(tables, reference)
    if out is None and format == "terminal":
        show(*sheets(tables, collection.apart))
        return
    file = None if out is None else out if out.suffix and not out.is_dir() else out / f"table{SUFFIXES[format]}"
    text = as_text(tables, collection.apart, format, Path.cwd() if file is None else file.parent)
    if file is None:
        print(text, end="")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    if out is not None and format == "markdown" and file.parent == out:
        copy_plots(collection, out)
    print(file)


def chosen_format(format: str | None, out: Path | None) -> str:
    """The format that is asked for, or that suits where the report goes.

    Raises:
        InputError: for a format that there is not, or a file whose name says another one.
    """
    suffix = "" if out is None or out.is_dir() else out.suffix
    by_suffix = {value: name for name, value in SUFFIXES.items()}
    if format is not None and format not in SUFFIXES:
        raise InputError(f"--format {format}: no such format; {nearest(format, SUFFIXES)}")
    if suffix and suffix not in by_suffix:
        raise InputError(f"--out {out}: the name of a file ends in one of {', '.join(by_suffix)}")
    if format is not None and suffix and SUFFIXES[format] != suffix:
        raise InputError(f"--out {out}: a file in --format {format} ends in {SUFFIXES[format]}")
    if format is not None:
        return format
    if out is not None:
        return by_suffix.get(suffix, "markdown")
    return "terminal" if sys.stdout.isatty() else "markdown"


def as_text(tables: Sequence[Table], apart: Sequence[Apart], format: str, place: Path) -> str:
    """The report as the content of a file in the folder `place`."""
    if format == "html":
        from seqlab.report.page import page  # matplotlib draws here alone

        return page(tables, apart, place)
    if format == "terminal":
        written = io.StringIO()
        show(*sheets(tables, apart), file=written)
        return written.getvalue()
    return {"markdown": markdown, "csv": comma_separated, "latex": latex}[format](tables, apart)


def copy_plots(collection: Collection, folder: Path) -> None:
    """Put every run's plots beside a table."""
    for row in (row for table in tables_of(collection.runs) for row in table.rows):
        digest = hashlib.sha256(row.label.encode()).hexdigest()[:8]
        name = folder_name(row.label, digest) if row.setting else one_name(row.model)
        for run in row.runs:
            for plot in plots_of(run):
                shutil.copyfile(plot, folder / f"{one_name(row.data)}_{name}_seed{run['seed']}_{plot.name}")


if __name__ == "__main__":
    sys.exit(main())
