"""Generate text with a trained model: seqlab generate RUN --prompt "ROMEO:" --num-samples 3 --temperature 0.8"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.output import take_any_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and stream samples to stdout. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab generate", description=__doc__)
    parser.add_argument("run", help="a run directory (or a checkpoint file)")
    parser.add_argument("--prompt", default="\n", help="text to continue (default: a line break)")
    parser.add_argument("--num-samples", type=int, default=1, help="number of samples (default: 1)")
    parser.add_argument("--max-tokens", type=int, default=200, help="tokens to generate per sample (default: 200)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0: greedy; below 1 sharpens (default: 0.8)")
    parser.add_argument("--top-k", type=int, help="sample from the k most probable tokens")
    parser.add_argument("--top-p", type=float, help="sample from the most probable tokens up to this total probability")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds give equal texts (default: 1)")
    parser.add_argument("--checkpoint", default="best.ckpt", help="file in RUN/checkpoints (default: best.ckpt)")
    options = parser.parse_args(arguments)
    try:
        write_samples(options)
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def write_samples(options: argparse.Namespace) -> None:
    """Stream the samples to stdout; with several, a line with its number precedes each.

    Raises:
        InputError: the run, the prompt or a setting is invalid.
    """
    from lm.text_run import load_text_run  # here, so that --help is quick
    from seqlab.errors import InputError, refuse_bytes
    from seqlab.randomness import derived_seed

    started()
    refuse_bytes(options.prompt)
    for name in ("num_samples", "max_tokens"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(options, name)}: must be at least 1")
    model, task, _ = load_text_run(options.run, options.checkpoint)
    try:
        prompt = task.read_prompt(options.prompt)
        for sample in range(options.num_samples):
            tokens = task.tokens(
                model,
                prompt,
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
                seed=derived_seed(options.seed, "sample", sample),
            )
            if options.num_samples > 1:
                print(f"--- sample {sample + 1}")
            print(options.prompt, end="", flush=True)
            stream = task.data.tokenizer.stream()
            for token in islice(tokens, options.max_tokens):
                print(stream.step(int(token)), end="", flush=True)
            print(stream.rest())
    except ValueError as error:
        raise InputError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
