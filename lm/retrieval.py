"""Rank known items with a trained language model, or search: seqlab retrieve RUN

Compares the rankers that the model helps with BM25, TF-IDF and LSA, with the same model untrained, and with each
embedding that `seqlab finetune RUN` has tuned. With several runs, such as three seeds, the table has their means. With
--query "..." it searches the passages that `seqlab index RUN FOLDER` has indexed.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError, nearest, refuse_bytes
from seqlab.files import at_home
from seqlab.output import take_any_text

if TYPE_CHECKING:
    from lm.comparison import Comparison
    from lm.known_items import Task

NUM_PASSAGES = 5  # passages printed per query
MOST_SHOWN = 2000  # characters of a passage


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print the table or the passages. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab retrieve", description=__doc__)
    parser.add_argument("runs", type=at_home, nargs="+", metavar="RUN", help="the run directory of a language model")
    parser.add_argument("--task", help="halves, lines or summaries; default: summaries for corpus=wiki, else halves")
    parser.add_argument("--query", help="the text to search for in the index of the run")
    parser.add_argument("--hybrid", action="store_true", help="rank by BM25 and vectors, not by vectors alone")
    options = parser.parse_args(arguments)
    try:
        if options.query is not None:
            refuse_bytes(options.query)
            if options.task is not None:
                raise InputError("--task is for the table, --query for a search: one of them")
            if len(options.runs) > 1:
                raise InputError(f"--query searches the index of one run, not of {len(options.runs)}")
            print(ask(options.runs[0], options.query, hybrid=options.hybrid))
        elif options.hybrid:
            raise InputError("--hybrid is a way to search: it needs --query")
        else:
            print(comparison(options.runs, options.task))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def comparison(paths: Sequence[Path], task: str | None) -> "Comparison":
    """All rankers for a run, or for several: their means.

    Raises:
        InputError: the task is none of `lm.known_items.Task`, or the runs have read other texts or have embeddings
            tuned with other seeds.
    """
    from lm.comparison import compare, joined, without_model  # here, so that --help is quick
    from lm.known_items import Task, items_of
    from lm.text_run import load_continuation, load_text_run, untrained

    started()
    if task is not None and task not in get_args(Task):
        raise InputError(f"--task {task}: no such task; {nearest(task, get_args(Task))}")
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path} is not a run directory")
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"{', '.join(map(str, paths))}: one run is there twice")
    embeddings = [tuned(path) for path in paths]
    for path, names in zip(paths, embeddings, strict=True):
        if names.keys() != embeddings[0].keys():
            raise InputError(
                f"{path} has embeddings {listed(names)}, {paths[0]} has {listed(embeddings[0])}: tune the runs with "
                "the same seeds (seqlab finetune RUN)"
            )
    first, words, found = None, {}, []
    for path, names in zip(paths, embeddings, strict=True):
        run = load_text_run(path)
        items = items_of(run.task.data.corpus, cast("Task | None", task))
        if first is None:
            first, words = items, without_model(items)
        elif items != first:
            raise InputError(f"{path} has read other texts than {paths[0]}, so that its queries are others")
        continuations = {name: load_continuation(path, file) for name, file in names.items()}
        encode = run.task.data.tokenizer.encode
        found.append(compare(items, words, encode, run.model, untrained(run).model, continuations))
    return joined(found)


def tuned(path: Path) -> dict[str, str]:
    """{name: file} of the embeddings that `seqlab finetune` has tuned from a run and from its untrained model."""
    from lm.comparison import UNTRAINED
    from lm.text_run import CONTROL, TUNED

    found = {}
    for end, pattern in (("", TUNED), (UNTRAINED, CONTROL)):
        for file in sorted((path / "checkpoints").glob(pattern.format(seed="*"))):
            seed = file.stem.split("_")[1].removeprefix("seed")
            if seed.isdigit() and file.name == pattern.format(seed=seed):
                found[f"seed {seed}{end}"] = file.name
    return found


def listed(names: Iterable[str]) -> str:
    """Names in brackets, or "none"."""
    return f"({'; '.join(names)})" if [*names] else "none"


def ask(path: Path, query: str, *, hybrid: bool) -> str:
    """The passages of a run's index that are best for a query, with the scores of each part, as text.

    Raises:
        InputError: there is no run, no index, or the query has no words.
    """
    from lm.index import FOLDER, checkpoints_of, models_of
    from lm.index_files import load
    from lm.search import search

    started()
    if not path.is_dir():
        raise InputError(f"{path} is not a run directory")
    index = load(path / FOLDER, checkpoints_of(path))
    return "\n\n".join(
        f"{found.score:.3f}  {plain(found.source)}  "
        f"({', '.join(f'{name} {score:.3f}' for name, score in found.parts.items())})\n"
        + "\n".join(f"  {plain(line)}" for line in shortened(found.passage).split("\n"))
        for found in search(index, models_of(path), query, NUM_PASSAGES, hybrid=hybrid)
    )


def shortened(passage: str) -> str:
    """The beginning of a passage, which may be one word of megabytes."""
    return passage if len(passage) <= MOST_SHOWN else f"{passage[:MOST_SHOWN]} ..."


def plain(text: str) -> str:
    """A text for a terminal, without what would move its cursor or change its colours.

    >>> plain("a\\tb\\x1b[31m")
    'a b\ufffd[31m'
    """
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text.replace("\t", " "))


if __name__ == "__main__":
    sys.exit(main())
