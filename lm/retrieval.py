"""Rank known items with a trained language model: seqlab retrieve RUN

Compares it with the same model untrained, TF-IDF, LSA and BM25, and with the model tuned by `seqlab finetune RUN`
if there is one. With --index DIR --query "..." it instead searches the passages of the run's own text, with an index
stored in DIR.
"""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.errors import InputError, nearest, refuse_bytes
from seqlab.output import take_any_text

if TYPE_CHECKING:
    from torch import Tensor

    from lm.known_items import KnownItems
    from lm.text_run import TextRun

NUM_PASSAGES = 5  # passages printed per query


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print the table or the passages. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab retrieve", description=__doc__)
    parser.add_argument("run", type=Path, help="the run directory of a language model")
    parser.add_argument("--task", help="speeches or summaries; default: summaries for corpus=wiki, else speeches")
    parser.add_argument("--checkpoint", default="best.ckpt", help="file in RUN/checkpoints (default: best.ckpt)")
    parser.add_argument("--index", type=Path, help="the index folder; built and saved if it does not exist")
    parser.add_argument("--query", help="the text to search for with --index")
    options = parser.parse_args(arguments)
    try:
        if (options.index is None) != (options.query is None):
            raise InputError("--index and --query go together")
        if options.index is not None:
            refuse_bytes(options.query)
            print(ask(options.run, options.checkpoint, options.index, options.query))
        else:
            print(compare(options.run, options.checkpoint, options.task))
    except (Exception, KeyboardInterrupt) as error:
        return tell(InputError(str(error)) if type(error) is ValueError else error)
    return 0


def compare(path: Path, checkpoint: str, task: str | None) -> str:
    """The table of all rankers for a run. Raises InputError for a task that is none of `lm.known_items.Task`."""
    import torch  # here, so that --help is quick

    from lm import rankers
    from lm.known_items import Task, items_of
    from lm.ranking import evaluate, table
    from lm.text_run import TUNED, load_text_run, untrained

    started()
    if task is not None and task not in get_args(Task):
        raise InputError(f"--task {task}: no such task; {nearest(task, get_args(Task))}")
    trained = load_text_run(path, checkpoint)
    items = items_of(trained.task.data.corpus, cast("Task | None", task))
    scores = {
        "BM25": torch.from_numpy(rankers.bm25(items.queries, items.documents)),
        "TF-IDF": torch.from_numpy(rankers.tf_idf(items.queries, items.documents)),
        "LSA": torch.from_numpy(rankers.lsa(items.queries, items.documents)),
        f"{path}, untrained": model_scores(untrained(trained), items),
        f"{path}": model_scores(trained, items),
    }
    if (path / "checkpoints" / TUNED).is_file():
        scores[f"{path}, tuned on {len(items.tuning):,} other pairs"] = model_scores(load_text_run(path, TUNED), items)
    if (by_minilm := rankers.minilm(items.queries, items.documents)) is not None:
        scores["all-MiniLM-L6-v2"] = torch.from_numpy(by_minilm)
    return table(items.description, {name: evaluate(rows, items.relevant) for name, rows in scores.items()})


def model_scores(run: "TextRun", items: "KnownItems") -> "Tensor":
    """Cosine similarities (queries, documents) of a language model's vectors."""
    from lm.vectors import fit, vectors

    encode = run.task.data.tokenizer.encode
    fitted, of_documents = fit(run.model, encode, items.documents)
    return vectors(run.model, encode, items.queries, fitted) @ of_documents.T


def ask(path: Path, checkpoint: str, folder: Path, query: str) -> str:
    """The passages of a run's text nearest to a query, with their cosine similarities, as text."""
    from lm.index import build_index, load_index, passages, save_index, search
    from lm.text_run import load_text_run

    started()
    model, task, _ = load_text_run(path, checkpoint)
    file = path / "checkpoints" / checkpoint if path.is_dir() else path
    encode = task.data.tokenizer.encode
    if folder.exists():
        index = load_index(folder, file)
    else:
        corpus = task.data.corpus
        index = build_index(model, encode, passages([*corpus.train, *corpus.val, *corpus.test]))
        save_index(index, folder, file)
    found = search(index, model, encode, query, NUM_PASSAGES)
    return "\n\n".join(f"{score:.3f}\n{textwrap.indent(passage, '  ')}" for score, passage in found)


if __name__ == "__main__":
    sys.exit(main())
