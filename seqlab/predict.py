"""Complete prompts with a trained model: seqlab predict RUN "( [ ]" """

import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the task's description of each prediction, and return the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab predict", description=__doc__)
    parser.add_argument("run", help="a run directory (or a checkpoint file)")
    parser.add_argument(
        "prompts",
        nargs="+",
        metavar="prompt",
        help='prompt to complete, in the syntax of the task: "( [ ]"; may be empty: ""; several are answered in turn; '
        "-: each line of the input is a prompt",
    )
    parser.add_argument("--checkpoint", default="best.ckpt", help="file in RUN/checkpoints (default: best.ckpt)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line: prompt, answer")
    options = parser.parse_args(arguments)
    try:
        for number, (prompt, answer) in enumerate(predict(options.run, options.prompts, options.checkpoint)):
            if options.json:
                print(json.dumps({"prompt": prompt, "answer": answer}), flush=True)
            else:
                print("\n" * bool(number) + answer, flush=True)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def predict(run: str, prompts: Sequence[str], checkpoint: str) -> Iterator[tuple[str, str]]:
    """Each prompt with the task's description of the model's prediction. The run is loaded once.

    Args:
        run: a run directory or a checkpoint file.
        prompts: what the user typed; `-` stands for the lines of the input.
        checkpoint: file in the run's checkpoints.

    Raises:
        InputError: a bad run or prompt. Of several prompts, those before it have been answered.
    """
    from seqlab.errors import InputError, refuse_bytes
    from seqlab.run.build import load_run  # imports torch: here, so that --help is quick

    started()
    for prompt in prompts:
        refuse_bytes(prompt)
    loaded = load_run(run, checkpoint)
    several = len(prompts) > 1 or prompts[0] == "-"
    for number, prompt in enumerate(_typed(prompts), start=1):
        try:
            refuse_bytes(prompt)
            answer = loaded.task.describe(loaded.model, loaded.task.parse_prompt(prompt))
        except ValueError as error:
            raise InputError(f"prompt {number}: {error}" if several else str(error)) from error
        yield prompt, answer


def _typed(prompts: Iterable[str]) -> Iterator[str]:
    """The prompts, with the lines of the input in place of `-`."""
    for prompt in prompts:
        if prompt != "-":
            yield prompt
            continue
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # for refuse_bytes
        yield from (line.rstrip("\r\n") for line in sys.stdin)


if __name__ == "__main__":
    sys.exit(main())
