"""Tune a language model for retrieval: seqlab finetune RUN

Its states learn to point to how a text goes on (lm/continuation.py). The texts are speeches of plays that no query
comes from, or the training part of the user's own text. Writes RUN/checkpoints/retrieval_seed1.ckpt, which
`seqlab retrieve` and `seqlab index` use. With --untrained it tunes the model from before its first step, as a
control.
"""

import sys
from collections.abc import Sequence

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.files import at_home
from seqlab.output import take_any_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, tune the model and save it. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab finetune", description=__doc__)
    parser.add_argument("run", help="the run directory of a language model")
    parser.add_argument("--seed", type=int, default=1, help="seed of maps, cuts and dropout (default: 1)")
    parser.add_argument("--steps", type=int, default=150, help="steps, of 256 cuts each (default: 150)")
    parser.add_argument("--untrained", action="store_true", help="the control: from the model before its first step")
    options = parser.parse_args(arguments)
    try:
        print(finetune_run(options.run, seed=options.seed, steps=options.steps, from_untrained=options.untrained))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def finetune_run(path: str, *, seed: int = 1, steps: int = 150, from_untrained: bool = False) -> str:
    """Tune the best checkpoint of a run and save the result next to it. Returns a summary as text.

    Args:
        path: the run directory.
        seed: seed of tuning; it names the file.
        steps: number of batches.
        from_untrained: whether to start from the model as it was before training.

    Raises:
        InputError: the path is not a run directory or not a run on text; there are fewer than two texts to tune on, or
            a number is out of range.
    """
    from lm.continuation import tune  # here, so that --help is quick
    from lm.known_items import tuning_texts
    from lm.text_run import CONTROL, TUNED, load_text_run, save_continuation, untrained
    from seqlab.errors import InputError

    started()
    for name, value, least in (("seed", seed, 0), ("steps", steps, 1)):
        if value < least:
            raise InputError(f"--{name} {value}: must be at least {least}")
    if not at_home(path).is_dir():
        raise InputError(f"{path} is not a run directory")
    run = load_text_run(path)
    texts = tuning_texts(run.task.data.corpus)
    model = untrained(run).model if from_untrained else run.model
    tuned, losses = tune(model, run.task.data.tokenizer.encode, texts, steps=steps, seed=seed)
    folder = at_home(path) / "checkpoints"
    target = folder / (CONTROL if from_untrained else TUNED).format(seed=seed)
    save_continuation(tuned, folder / "best.ckpt", target)
    few = max(1, len(losses) // 10)
    first, last = (sum(part) / few for part in (losses[:few], losses[-few:]))
    return f"{len(texts):,} texts, {steps:,} steps, loss {first:.3f} -> {last:.3f} nats; wrote {target}"


if __name__ == "__main__":
    sys.exit(main())
