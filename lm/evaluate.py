"""Evaluate a trained model on other text: seqlab evaluate RUN --text FILE"""

import sys
from collections.abc import Iterator, Sequence

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text

SHORTEST_LINE = 20  # characters; shorter lines occur in many texts
PIECE = 40  # characters
MOST_SEEN = 0.05  # of a test text may be in the training text


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print the metrics. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab evaluate", description=__doc__)
    parser.add_argument("run", help="a run directory (or a checkpoint file)")
    parser.add_argument("--text", required=True, help="a text file, or a folder of .txt, .md and .gz files")
    parser.add_argument("--checkpoint", default="best.ckpt", help="file in RUN/checkpoints (default: best.ckpt)")
    options = parser.parse_args(arguments)
    try:
        print(evaluate(options.run, options.text, options.checkpoint))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def evaluate(path: str, text: str, checkpoint: str = "best.ckpt") -> str:
    """The metrics of a run on a text, and the overlap of the text with the training text, as lines of text.

    Raises:
        InputError: the run or the text cannot be read.
    """
    import torch  # here, so that --help is quick

    from lm.metrics import TextMetrics, token_scores
    from lm.own_text import own_documents
    from lm.text_run import load_text_run
    from seqlab.errors import InputError
    from seqlab.proportion import value_of

    started()

    model, task, _ = load_text_run(path, checkpoint)
    try:
        documents = list(own_documents(text).values())
    except ValueError as error:
        raise InputError(str(error)) from error
    ids = torch.from_numpy(task.data.tokenizer.encode_documents(documents).astype("int64"))
    metrics = TextMetrics()
    metrics.update(token_scores(model, ids, stride=task.stride), documents)
    results = metrics.compute()
    characters = sum(map(len, documents))
    lines = [f"{text}: {characters:,} characters, {len(ids) - 1:,} tokens"]
    interval = metrics.perplexity_interval()
    for name, result in results.items():
        shown = f"{value_of(result):.3f}"
        if name == "perplexity" and interval:
            shown += f" (95%: {interval[0]:.3f} to {interval[1]:.3f})"
        lines.append(f"{name.replace('_', ' '):<20}{shown}")
    return "\n".join([*lines, seen_in_training(task.data, documents)])


def seen_in_training(data, documents: Sequence[str]) -> str:
    """How much of a text is also in the training part, as text. If much is, the text is not a test set.

    The larger share of two counts: of lines, which may stand in another order there, and of pieces without regard to
    lines, which may be short or broken elsewhere.
    """
    lines = {line for document in documents for line in document.splitlines() if len(line) >= SHORTEST_LINE}
    pieces = {piece for document in documents for piece in pieces_of(document, PIECE)}
    try:
        training = data.corpus.train
    except ValueError as error:
        return f"whether the model was trained on this text is unknown: {error}"
    seen_lines = len(lines & {line for document in training for line in document.splitlines()})
    seen_pieces = len(pieces & {piece for document in training for piece in pieces_of(document, 1) if piece in pieces})
    if not lines and not pieces:
        short = f"no line of {SHORTEST_LINE} characters, and fewer than {PIECE} in all"
        return f"whether the model was trained on this text is unknown: it has {short}"
    of_lines, of_pieces = seen_lines / max(1, len(lines)), seen_pieces / max(1, len(pieces))
    overlap = f"{seen_lines:,} of {len(lines):,} lines of {SHORTEST_LINE} characters or more"
    if of_pieces > of_lines:
        overlap = f"{seen_pieces:,} of {len(pieces):,} pieces of {PIECE} characters"
    return f"{'NOT A TEST: ' * (max(of_lines, of_pieces) > MOST_SEEN)}{overlap} are in the training text"


def pieces_of(document: str, step: int) -> Iterator[str]:
    """Pieces of PIECE characters of a text, whose white space is one space each, that begin `step` apart.

    >>> [len(piece) for piece in pieces_of("word\\n" * 20, PIECE)]
    [40, 40]
    """
    text = " ".join(document.split())
    return (text[start : start + PIECE] for start in range(0, len(text) - PIECE + 1, step))


if __name__ == "__main__":
    sys.exit(main())
