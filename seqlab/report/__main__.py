"""Collect runs into one table: seqlab report outputs/L5 --format html --out report.html

One row for each data x model, and for each setting if runs differ in more than the seed: mean and standard deviation
over seeds, with baselines and chance, the best in bold. Unfinished and failed runs are listed separately.
"""

import argparse
import hashlib
import io
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError, nearest
from seqlab.files import at_home, write_text
from seqlab.output import take_any_text
from seqlab.report.by_data import by_data
from seqlab.report.collect import Collection, collect, plots_of
from seqlab.report.effects import effects_of
from seqlab.report.formats import comma_separated, latex, markdown, sheets
from seqlab.report.rows import Apart, Table, tables_of
from seqlab.report.runs_file import SUFFIX, kept, read_runs, together, write_runs
from seqlab.run.config import folder_name, one_name
from seqlab.show.layout import show
from seqlab.show.style import house_style, save_figure

SURROGATES = re.compile("[\ud800-\udfff]")  # of names and files that are not UTF-8
SUFFIXES = {"terminal": ".txt", "markdown": ".md", "csv": ".csv", "latex": ".tex", "html": ".html"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the report on all runs below some folders. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab report", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sources", nargs="+", type=at_home, metavar="DIR", help="run directories, folders of them, or\n"
                        "files that --runs has written")  # fmt: skip
    parser.add_argument("--format", help=f"{', '.join(SUFFIXES)}; default: by the suffix of --out, or else\n"
                        "terminal, or markdown if the output is not a terminal")  # fmt: skip
    parser.add_argument("--out", type=at_home, help="a file; or a folder, which gets table.md (.csv ...) and, with\n"
                        "markdown, the plots of every run")  # fmt: skip
    parser.add_argument("--effects", metavar="MODEL", help="a row, by its name in the column \"model\": also show the\n"
                        "mean difference of each other row from it, over common seeds")  # fmt: skip
    parser.add_argument("--runs", type=at_home, metavar="FILE.csv", help="also write each run as a line of this file,\n"
                        "added to those that it has; such a file can be given as DIR")  # fmt: skip
    parser.add_argument("--compare", metavar="COLUMN", help="with --out FOLDER: instead of each run's plots, a map of\n"
                        "this column over models and data, curves of each model by data set, and\n"
                        "by_data.md, a table of models x data for each column")  # fmt: skip
    options = parser.parse_args(arguments)
    started()
    try:
        report(options.sources, options.format, options.out, options.effects, options.runs, options.compare)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def report(
    sources: Sequence[Path],
    format: str | None,
    out: Path | None,
    reference: str | None = None,
    runs_file: Path | None = None,
    compared: str | None = None,
) -> None:
    """Print the report, or write it to a file or into a folder.

    Args:
        sources: folders with runs at any depth, and files of runs.
        format: one of SUFFIXES; None: chosen by `out`.
        out: a file or a folder; None: stdout.
        reference: the row against which the effects of all others are also reported.
        runs_file: where the runs are kept as lines of a CSV file, with those that it has already.
        compared: a column whose figures go into the folder `out`.

    Raises:
        InputError: the format is unknown, there is no run, or the reference or the column is not in the table.
        OSError: a file cannot be written; the error names it.
    """
    format = chosen_format(format, out)
    collection = collected(sources, runs_file)
    tables = tables_of(collection.runs)
    if compared is not None and (out is None or out.suffix or format != "markdown"):
        raise InputError("--compare needs --out FOLDER, in Markdown")
    figures = {}
    if compared is not None:
        from seqlab.report.comparison import comparison  # lazy, because only this draws with matplotlib

        with house_style():
            figures = comparison(tables, compared)
    if runs_file is not None:
        runs_file.parent.mkdir(parents=True, exist_ok=True)
        write_runs(runs_file, collection.runs)
        print(runs_file)
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
    with house_style():
        for name, figure in figures.items():
            save_figure(figure, file.parent / f"{name}.png")
    if compared is not None:
        write_text(file.parent / "by_data.md", by_data(tables))
    elif format == "markdown" and file.parent == out:
        copy_plots(collection, file.parent)
    print(file)


def collected(sources: Sequence[Path], runs_file: Path | None) -> Collection:
    """The runs of folders and files. With a file among them, or one to write, runs are as files keep them.

    Raises:
        InputError: a source does not exist or is no file of runs, or there is no run.
    """
    folders, files = (
        [path for path in sources if path.suffix != SUFFIX],
        [path for path in sources if path.suffix == SUFFIX],
    )
    if runs_file is not None:
        if runs_file.suffix != SUFFIX:
            raise InputError(f"--runs {runs_file}: the name of a file of runs ends in {SUFFIX}")
        if runs_file.exists():  # first: what it has is older than what is added to it
            files = [runs_file, *(file for file in files if file != runs_file)]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give run directories, folders of them, or files of runs")
    collection = collect(folders)
    if files or runs_file is not None:
        in_files = [run for file in files for run in read_runs(file)]
        collection = collection._replace(runs=together([*in_files, *kept(collection.runs)]))
    if not collection.runs and not collection.apart and not folders:
        raise InputError(f"no run in {', '.join(map(str, sources))}")
    if not collection.runs and not collection.apart:
        raise InputError(
            f"no run below {', '.join(map(str, sources))}: a run directory has .hydra, status.json or summary.json"
        )
    return collection


def chosen_format(format: str | None, out: Path | None) -> str:
    """The requested format, or the default for the destination of the report.

    Raises:
        InputError: the format is unknown, or the file has the suffix of another one.
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
    """Format the report as the content of a file in the folder `place`. What UTF-8 has no bytes for is replaced."""
    if format == "html":
        from seqlab.report.page import page  # lazy, because only this format draws with matplotlib

        text = page(tables, apart, place)
    elif format == "terminal":
        written = io.StringIO()
        show(*sheets(tables, apart), file=written)
        text = written.getvalue()
    else:
        text = {"markdown": markdown, "csv": comma_separated, "latex": latex}[format](tables, apart)
    return SURROGATES.sub("\ufffd", text)


def copy_plots(collection: Collection, folder: Path) -> None:
    """Copy the plots of every run into a folder."""
    for row in (row for table in tables_of(collection.runs) for row in table.rows):
        digest = hashlib.sha256(row.label.encode()).hexdigest()[:8]
        name = folder_name(row.label, digest) if row.setting else one_name(row.model)
        for run in row.runs:
            for plot in plots_of(run):
                shutil.copyfile(plot, folder / f"{one_name(row.data)}_{name}_seed{run['seed']}_{plot.name}")


if __name__ == "__main__":
    sys.exit(main())
