"""Complete prompts with a trained model: seqlab predict RUN "( [ ]" --sample --num 3"""

import argparse
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text

if TYPE_CHECKING:
    from seqlab.answers import Answer, Sampling, Steps

NUM_SHOWN = 5  # outcomes of a step
MOST_SAMPLES = 10_000  # of a prompt: they are decoded together


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
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a line: prompt, answer, completion, faults ..."
    )
    parser.add_argument("--probs", action="store_true", help="also print the distribution at each step")
    parser.add_argument("--sample", action="store_true", help="also print sampled completions")
    parser.add_argument("--num", type=int, help="number of samples (default: 1)")
    parser.add_argument("--temperature", type=float, help="of samples; 0: greedy, below 1 sharpens (default: 1)")
    parser.add_argument("--top-k", type=int, help="sample among the k most probable outcomes (default: all)")
    parser.add_argument("--seed", type=int, help="of samples: equal seeds give equal samples (default: 1)")
    options = parser.parse_args(arguments)
    try:
        sampling = sampling_of(options)
        also = {"completions": options.json, "probs": options.probs, "sampling": sampling}
        found = predict(options.run, options.prompts, options.checkpoint, **also)
        for number, record in enumerate(found):
            if options.json:
                print(json.dumps(plain(record)), flush=True)
            else:
                print("\n" * bool(number) + "\n".join(lines(record)), flush=True)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


class Record(NamedTuple):
    """What is printed of one prompt.

    prompt: as typed.
    answer: the task's description of the prediction.
    completion: the greedy completion, if asked for and if the task has one.
    steps: the distribution at each step, if asked for.
    samples: sampled completions, if asked for.
    """

    prompt: str
    answer: str
    completion: "Answer | None"
    steps: "Steps | None"
    samples: "list[Answer] | None"


def sampling_of(options: argparse.Namespace) -> "Sampling | None":
    """How to sample, from the command line; None: not at all.

    Raises:
        InputError: a value is out of range, or says how to sample where nothing is sampled.
    """
    from seqlab.answers import Sampling  # imports torch: here, so that --help is quick
    from seqlab.errors import InputError

    given = {"number": options.num, "temperature": options.temperature, "top_k": options.top_k, "seed": options.seed}
    given = {name: value for name, value in given.items() if value is not None}
    if not options.sample:
        if given:
            name = next(iter(given))
            option = "num" if name == "number" else name.replace("_", "-")
            raise InputError(f"--{option} {given[name]} says how to sample: add --sample")
        return None
    for name, least in (("number", 1), ("top_k", 1), ("seed", 0)):
        if given.get(name, least) < least:
            option = "num" if name == "number" else name.replace("_", "-")
            raise InputError(f"--{option} {given[name]}: must be at least {least}")
    if given.get("number", 1) > MOST_SAMPLES:
        raise InputError(f"--num {given['number']}: must be at most {MOST_SAMPLES:,}")
    if not 0 <= given.get("temperature", 1) < math.inf:
        raise InputError(f"--temperature {given['temperature']}: must be finite, and 0 (greedy) or above")
    return Sampling(**given)


def predict(
    run: str, prompts: Sequence[str], checkpoint: str, *, completions: bool = False, probs: bool = False,
    sampling: "Sampling | None" = None,
) -> Iterator[Record]:  # fmt: skip
    """Each prompt with the task's description of the model's prediction. The run is loaded once.

    Args:
        run: a run directory or a checkpoint file.
        prompts: what the user typed; `-` stands for the lines of the input.
        checkpoint: file in the run's checkpoints.
        completions: with the greedy completion, where the task has completions.
        probs: with the distribution at each step.
        sampling: with samples drawn so.

    Raises:
        InputError: a bad run or prompt, or a task without distributions. Of several prompts, those before it have been
            answered.
    """
    from seqlab.errors import InputError, refuse_bytes
    from seqlab.run.build import load_run

    started()
    for prompt in prompts:
        refuse_bytes(prompt)
    loaded = load_run(run, checkpoint)
    task, model = loaded.task, loaded.model
    several = len(prompts) > 1 or prompts[0] == "-"
    for number, prompt in enumerate(_typed(prompts), start=1):
        try:
            refuse_bytes(prompt)
            parsed = task.read_prompt(prompt)
            steps = task.steps(model, parsed) if probs else None
            samples = None if sampling is None else task.answers(model, parsed, sampling)
            completion = _greedy(task, model, parsed) if completions else None
            answer = task.describe(model, parsed)
        except ValueError as error:
            raise InputError(f"prompt {number}: {error}" if several else str(error)) from error
        yield Record(prompt, answer, completion, steps, samples)


def _greedy(task: Any, model: Any, prompt: Any) -> "Answer | None":
    from seqlab.errors import InputError

    try:
        return task.answers(model, prompt)[0]
    except InputError:  # it predicts values, or does not say
        return None


def plain(record: Record) -> dict[str, Any]:
    """A record for JSON: prompt, answer; the greedy completion with its faults and a note, where the task has one;
    `probs`, all outcomes of each step, the most probable first; `samples`.

    Raises:
        InputError: a probability is NaN, as of weights that are.
    """
    from seqlab.errors import InputError

    found: dict[str, Any] = {"prompt": record.prompt, "answer": record.answer}
    if record.completion is not None:
        found |= _fields(record.completion)
    if record.steps is not None:
        if not record.steps.probabilities.isfinite().all():
            raise InputError("the model's probabilities are not numbers")
        each = zip(record.steps.places, record.steps.best(len(record.steps.outcomes)), strict=True)
        found["probs"] = [{"at": place, "next": outcomes} for place, outcomes in each]
    if record.samples is not None:
        found["samples"] = [_fields(one) for one in record.samples]
    return found


def _fields(answer: "Answer") -> dict[str, Any]:
    faults = [fault._asdict() for fault in answer.faults]
    return {"completion": answer.text, "faults": faults, "note": answer.note}


def lines(record: Record) -> Iterator[str]:
    """A record for a reader: the answer, a line for each step, a line for each sample with what is wrong with it."""
    yield record.answer
    if record.steps is not None:
        from seqlab.answers import quoted

        width = max(len(quoted(place)) for place in record.steps.places)
        for place, best in zip(record.steps.places, record.steps.best(NUM_SHOWN), strict=True):
            shown = "   ".join(f"{quoted(outcome)} ({probability:.1%})" for outcome, probability in best)
            yield f"at {quoted(place):{width}}  {shown}"
    for number, one in enumerate(record.samples or (), start=1):
        notes = "; ".join([*(fault.reason for fault in one.faults), *([one.note] if one.note else [])])
        yield f"sample {number:<3}  {one.text or '(ends at once)'}" + (f"   [{notes}]" if notes else "")


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
