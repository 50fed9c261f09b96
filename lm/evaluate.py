"""Evaluate a trained model on other text: seqlab evaluate RUN --text FILE"""

import sys
from collections.abc import Sequence

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text

SHORTEST_LINE = 20  # characters; shorter lines occur in many texts


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
    """How many lines of a text are also in the training part, as text. If many are, the text is not a test set."""
    lines = {line for document in documents for line in document.splitlines() if len(line) >= SHORTEST_LINE}
    try:
        training = {line for document in data.corpus.train for line in document.splitlines()}
    except ValueError as error:
        return f"whether the model was trained on this text is unknown: {error}"
    seen = len(lines & training)
    overlap = f"{seen:,} of {len(lines):,} lines of {SHORTEST_LINE} characters or more are in the training text"
    return overlap if seen <= 0.05 * len(lines) else f"NOT A TEST: {overlap}"


if __name__ == "__main__":
    sys.exit(main())
