"""Make a folder of text searchable: seqlab index RUN FOLDER

Reads .txt, .md and .gz files, splits them into passages and writes RUN/index, in the place of an older one. A file that
is no text is left out, and a line says why. Without
FOLDER it takes the text of the run. The first time, it tunes the model (seqlab finetune RUN; minutes). Then
`seqlab retrieve RUN --query "..." --hybrid` searches.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError
from seqlab.files import at_home
from seqlab.output import take_any_text

if TYPE_CHECKING:
    import numpy as np

    from lm.search import Models
    from lm.text_run import TextRun

FOLDER = "index"  # in the run directory


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, build the index and save it. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab index", description=__doc__)
    parser.add_argument("run", type=at_home, help="the run directory of a language model")
    parser.add_argument("folder", nargs="?", help="a folder of text, or a file; default: the text of the run")
    options = parser.parse_args(arguments)
    try:
        print(index_folder(options.run, options.folder))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def index_folder(path: Path, folder: str | None) -> str:
    """Build and save the index of a folder's passages. Returns a summary as text.

    Raises:
        InputError: the path is not a run on text, or the folder has no text.
    """
    from lm.finetune import finetune_run  # here, so that --help is quick
    from lm.index_files import save
    from lm.own_text import readable_documents
    from lm.search import build
    from lm.text_run import load_text_run

    started()
    try:
        documents = readable_documents(folder) if folder is not None else documents_of(load_text_run(path))
    except ValueError as error:  # of the corpus: files that are missing or too short
        raise InputError(str(error)) from error
    if not checkpoints_of(path)[1].is_file():
        print(finetune_run(str(path)), file=sys.stderr)
    index = build(documents, models_of(path))
    save(index, path / FOLDER, checkpoints_of(path))
    return f"{len(index.passages):,} passages of {len(documents):,} documents; wrote {path / FOLDER}"


def documents_of(run: "TextRun") -> Mapping[str, str]:
    """The pieces of a run's own text by name."""
    corpus = run.task.data.corpus
    parts = {"train": corpus.train, "val": corpus.val, "test": corpus.test}
    return {f"{name} {number}": text for name, part in parts.items() for number, text in enumerate(part, 1)}


def checkpoints_of(path: Path) -> tuple[Path, Path]:
    """The files of a run's language model and of the continuation embedding tuned from it."""
    from lm.text_run import TUNED

    return path / "checkpoints" / "best.ckpt", path / "checkpoints" / TUNED.format(seed=1)


def models_of(path: Path) -> "Models":
    """The language model of a run and its continuation embedding.

    Raises:
        InputError: the path is not a run on text, or it was not tuned.
    """
    from lm.search import Models
    from lm.text_run import load_continuation, load_text_run

    run = load_text_run(path)
    return Models(run.model, load_continuation(path, checkpoints_of(path)[1].name), run.task.data.tokenizer.encode)


def embedding_of(path: str | Path) -> "Callable[..., np.ndarray]":
    """The embedding of a run that has an index: a function embed(texts, queries=False) -> (texts, width) float32.

    A query's vector times a document's is their similarity. A text without words is refused with InputError. The same
    as a transformer of scikit-learn is `lm.transformer.TextEmbedding`; `lm.lexical.LexicalEmbedding` needs no run.

    Raises:
        InputError: there is no run or no index.
    """
    from lm.index_files import load
    from lm.search import joined

    path = at_home(path)
    models, lexical = models_of(path), load(path / FOLDER, checkpoints_of(path)).lexical
    return lambda texts, queries=False: joined(lexical, models, texts, queries=queries)


if __name__ == "__main__":
    sys.exit(main())
