"""Fine-tune a language model for retrieval: seqlab finetune RUN

The loss is contrastive (lm/contrastive.py). The pairs from `lm.known_items` are disjoint from the queries: halves of
speeches from other plays, or summaries of the training part. Writes RUN/checkpoints/retrieval.ckpt, which
`seqlab retrieve` then also evaluates.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, tune the model and save it. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab finetune", description=__doc__)
    parser.add_argument("run", help="the run directory of a language model")
    options = parser.parse_args(arguments)
    try:
        print(finetune_run(options.run))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def finetune_run(path: str) -> str:
    """Tune the best checkpoint of a run and save the result next to it. Returns a summary as text.

    Raises:
        InputError: the path is not a run directory or not a run on text; there are no queries outside the training
            text, or fewer than two pairs.
    """
    from lm.contrastive import tune  # here, so that --help is quick
    from lm.known_items import items_of
    from lm.text_run import TUNED, load_text_run
    from seqlab.errors import InputError
    from seqlab.lit.checkpoints import AtomicCheckpointIO, kept_in, load_checkpoint, version

    started()
    if not Path(path).is_dir():
        raise InputError(f"{path} is not a run directory")
    model, task, _ = load_text_run(path)
    items = items_of(task.data.corpus)
    losses = tune(model, task.data.tokenizer.encode, items.tuning)
    content = load_checkpoint(Path(path) / "checkpoints" / "best.ckpt")
    target = Path(path) / "checkpoints" / TUNED
    kept = kept_in(content, path)._asdict()
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tuned = {"config": content["config"], "state_dict": state, "tuning": {"losses": losses}, **kept}
    AtomicCheckpointIO().save_checkpoint({"version": version(), **tuned}, target)
    return f"{len(items.tuning):,} pairs, loss {losses[0]:.3f} -> {losses[-1]:.3f} nats; wrote {target}"


if __name__ == "__main__":
    sys.exit(main())
