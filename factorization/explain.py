"""Explain what a trained sine net computes: seqlab explain RUN

Matches each hidden unit's weights with the Fourier phases of residues modulo small primes, and compares the scores with
those of shuffled units. Also shows the accuracy by factor: the net learns trial division by small primes.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seqlab.starting import Parser, started, starting

if __name__ == "__main__":
    starting()

from seqlab.cli import tell
from seqlab.files import at_home
from seqlab.output import take_any_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, print the findings and write the figure. Returns the exit code."""
    take_any_text()
    parser = Parser(prog="seqlab explain", description=__doc__)
    parser.add_argument("run", type=at_home, help="the run directory of a sine_net")
    parser.add_argument("--out", type=at_home, help="where to write the figure (default: RUN/plots/explanation.png)")
    options = parser.parse_args(arguments)
    try:
        print(explain(options.run, options.out))
    except (Exception, KeyboardInterrupt) as error:
        return tell(error)
    return 0


def explain(path: Path, out: Path | None) -> str:
    """Write the figure of a run and describe it in text.

    Raises:
        InputError: the run is not a sine_net on digits in base 2.
    """
    from factorization.explanation import accuracy_by_factor, bit_weights, draw  # here, so that --help is quick
    from factorization.fourier import controls, match
    from seqlab.run.build import load_run
    from seqlab.show.style import house_style, save_figure

    started()
    run = load_run(path)
    weights = bit_weights(run)
    found, random = match(weights), controls(weights, seed=run.config["seed"])
    threshold = float(random.quantile(0.99))
    matched = found.scores > threshold
    target = out or path / "plots" / "explanation.png"
    accuracies = accuracy_by_factor(run)
    target.parent.mkdir(parents=True, exist_ok=True)
    with house_style(run.config["name"]["model"]):
        save_figure(draw(weights, found, random, threshold, accuracies), target)
    counts = Counter(found.primes[matched].tolist())
    lines = [
        f"{int(matched.sum())} of {len(weights)} units match a residue better than 99% of shuffled units do "
        f"(score above {threshold:.2f}; mean {found.scores.mean():.2f}, of shuffled units {random.mean():.2f})",
        "units by prime: " + ", ".join(f"{prime}: {counts[prime]}" for prime in sorted(counts)),
        "exact answers by smaller factor (model, trial division by primes up to 43):",
        *(f"  {prime:4d}  {ours.hits}/{ours.trials}  {rule.hits}/{rule.trials}" for prime, ours, rule in accuracies),
        f"figure: {target}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
