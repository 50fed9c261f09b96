"""Complete a prompt with a trained model: seqlab predict RUN "( [ ]" """

import sys
from collections.abc import Sequence

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the task's description of the prediction, and return the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab predict", description=__doc__)
    parser.add_argument("run", help="a run directory (or a checkpoint file)")
    parser.add_argument("prompt", help='prompt to complete, in the syntax of the task: "( [ ]"; may be empty: ""')
    parser.add_argument("--checkpoint", default="best.ckpt", help="file in RUN/checkpoints (default: best.ckpt)")
    options = parser.parse_args(arguments)
    try:
        print(predict(options.run, options.prompt, options.checkpoint))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def predict(run: str, prompt: str, checkpoint: str) -> str:
    """Describe the model's prediction for a prompt. Raises InputError for a bad run or prompt."""
    from seqlab.errors import InputError, refuse_bytes
    from seqlab.run.build import load_run  # imports torch: here, so that --help is quick

    started()
    refuse_bytes(prompt)
    loaded = load_run(run, checkpoint)
    try:
        parsed = loaded.task.parse_prompt(prompt)
    except ValueError as error:
        raise InputError(str(error)) from error
    return loaded.task.describe(loaded.model, parsed)


if __name__ == "__main__":
    sys.exit(main())
