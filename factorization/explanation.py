"""What the hidden units of a sine net match, and its exact answers by factor: numbers and a figure of both.

`seqlab explain RUN` shows them.
"""

from collections import Counter

import torch
from matplotlib.figure import Figure
from torch import Tensor

from factorization.baselines import fitted_trial_division
from factorization.datamodule import SemiprimesDataModule
from factorization.fourier import Matches, residue_phases
from factorization.models.sine_net import SineNet
from seqlab.errors import InputError
from seqlab.model import device_of
from seqlab.proportion import Proportion
from seqlab.run.build import Run
from seqlab.show.labels import End, label_ends
from seqlab.show.palette import GREY
from seqlab.show.style import INK, QUIET

NUM_DRAWN = 6  # units whose phases are plotted


def bit_weights(run: Run) -> Tensor:
    """The phase in radians that each set bit adds to each unit: (units, bits), most significant first.

    Raises:
        InputError: the run is not a sine_net on digits in base 2.
    """
    data = run.datamodule
    if not (isinstance(run.model, SineNet) and isinstance(data, SemiprimesDataModule)):
        raise InputError(f"model={run.config['name']['model']} has no sine units to explain (allowed: sine_net)")
    if data.input != "digits" or data.base != 2:
        raise InputError(f"data.input={data.input} in base {data.base}: only bits (digits, base 2) have phases")
    weights = run.model.sines.weight.detach().cpu()
    return weights.flip(1) if data.order == "lsb" else weights


def accuracy_by_factor(run: Run) -> list[tuple[int, Proportion, Proportion]]:
    """Exact answers on the test numbers: (smaller factor, model, trial division by primes up to 43)."""
    data = run.datamodule
    assert isinstance(data, SemiprimesDataModule)
    test = data.test
    with torch.inference_mode():
        predicted = data.head.answer(run.model, data.encode(test.numbers).to(device_of(run.model))).factors.cpu()
    rule = fitted_trial_division(data.train, test.numbers, 43)
    rows = []
    for prime in torch.unique(test.factors).tolist():
        mask = test.factors == prime
        hits = (int((guess[mask] == prime).sum()) for guess in (predicted, rule))
        ours, theirs = (Proportion(count, int(mask.sum())) for count in hits)
        rows.append((prime, ours, theirs))
    return rows


def draw(
    weights: Tensor,
    found: Matches,
    random: Tensor,
    threshold: float,
    accuracies: list[tuple[int, Proportion, Proportion]],
) -> Figure:
    """A figure of four panels: scores, units by prime, phases of the best units, accuracy by factor."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    (scores, primes), (phases, accuracy) = figure.subplots(2, 2)
    bins = torch.linspace(-0.2, 1, 61).tolist()
    scores.hist(random.tolist(), bins, density=True, alpha=0.6, color=GREY, label="shuffled units")
    scores.hist(found.scores.tolist(), bins, density=True, alpha=0.6, color="C0", label="units of the net")
    scores.axvline(threshold, color=INK, linestyle="dashed", label="99% of shuffled units")
    scores.set(title="best match with a residue", xlabel="mean over bits of cos(w_j - 2πk 2^j/q)", ylabel="density")
    scores.legend()

    counts = Counter(found.primes[found.scores > threshold].tolist())
    primes.bar([str(prime) for prime in sorted(counts)], [counts[prime] for prime in sorted(counts)])
    primes.set(title="units that match, by prime q", xlabel="q", ylabel="units")

    draw_phases(phases, weights, found)

    names = [str(prime) for prime, _, _ in accuracies]
    values = [ours.hits / ours.trials for _, ours, _ in accuracies]
    bounds = [ours.interval or (0.0, 1.0) for _, ours, _ in accuracies]
    low = [max(0.0, value - bound[0]) for value, bound in zip(values, bounds, strict=True)]
    high = [max(0.0, bound[1] - value) for value, bound in zip(values, bounds, strict=True)]
    rule = [theirs.hits / theirs.trials for _, _, theirs in accuracies]
    accuracy.plot(names, rule, "D", color=QUIET, markersize=7, markerfacecolor="none", label="trial division up to 43")
    accuracy.errorbar(names, values, yerr=[low, high], fmt="o", color="C0", elinewidth=2, label="model, 95% interval")
    accuracy.set(title="exact answers by smaller factor", xlabel="p", ylim=(-0.03, 1.03))
    accuracy.set_xticks(range(0, len(names), max(1, len(names) // 30)), names[:: max(1, len(names) // 30)])
    accuracy.tick_params(axis="x", rotation=90)
    accuracy.legend()
    return figure


def draw_phases(axis, weights: Tensor, found: Matches) -> None:
    """Plot the best unit of a few primes: its weights modulo 2 pi over the phases that it matches."""
    bits = weights.shape[1]
    best = found.scores.argsort(descending=True)
    chosen: dict[int, int] = {}
    ends: list[End] = []
    for unit in best.tolist():
        chosen.setdefault(int(found.primes[unit]), unit)
    for row, (prime, unit) in enumerate(list(chosen.items())[:NUM_DRAWN]):
        k = int(found.multiples[unit])
        expected = residue_phases(bits, prime)[k - 1]
        sign = 1 if (weights[unit] - expected).cos().mean() >= (weights[unit] + expected).cos().mean() else -1
        places = range(bits - 1, -1, -1)
        nearest = expected + torch.remainder(sign * weights[unit] - expected + torch.pi, 2 * torch.pi) - torch.pi
        line, dots = ((phase / (2 * torch.pi) + 1.5 * row).tolist() for phase in (expected, nearest))
        axis.plot(places, line, color=f"C{row}", linewidth=1)
        axis.plot(places, dots, "o", color=f"C{row}")
        ends.append(End(bits - 1, line[0], f"q={prime}, k={k}", f"C{row}"))
    axis.set(title="weights (dots) and 2πk 2^j/q (lines), best unit of a prime", xlabel="bit j", yticks=[])
    label_ends(axis, ends)
