"""Every causal language model of transformers as model=hf: what it keeps of the contract, and how long a step takes.

Prints docs/results/hf_types.md:

    PYTHONPATH=. python benchmarks/hf_types.py >docs/results/hf_types.md

All types have the same sizes, as far as they have these. A step is forward and backward on one batch, in CPU time on
one thread, in turns with our transformer of these sizes in plain torch; its ratio is theirs / ours.
"""

import platform
import statistics
import sys
from typing import Any, NamedTuple

import torch
from _timing import in_turns
from torch import Tensor

from seqlab.contract import outcome, weights
from seqlab.contract.measure import random_inputs, subject_of
from seqlab.model import SequenceModel, num_parameters
from seqlab.models.hf import HF
from seqlab.models.hf_config import library
from seqlab.models.transformer import Transformer
from seqlab.spec import Classes, Spec, Tokens

SPEC = Spec(Tokens(7), Classes(7), max_length=33, sos=0, eos=1, pad=2)
SIZES: dict[str, Any] = {"d_model": 64, "num_layers": 2, "num_heads": 4, "ff_dim": 128}
BATCH = 32
REPEATS = 3


class Row(NamedTuple):
    """What was found of a type; texts for the table. `refused` says why, where it is no model here."""

    type: str
    parameters: str = ""
    causal: str = ""
    steps: str = ""
    gradients: str = ""
    step_time: str = ""
    refused: str = ""


def scanned(type: str) -> Row:
    """Build a type, whose constructor holds it to the contract; look at its gradients, and time it."""
    try:
        subject = subject_of(lambda: HF(SPEC, type=type, **SIZES))
    except Exception as error:
        reason = " ".join(str(error).split()).replace("|", "/")
        return Row(type, causal="no" if "is not causal here" in reason else "", refused=reason[:160])
    gradients = outcome(weights.gradients, subject)
    return Row(
        type,
        f"{num_parameters(subject.model):,}",
        "yes",
        "read again" if subject.model.rereads else "state",
        "all" if gradients.passed else gradients.measured.partition(" parameters")[0],
        step_ratio(subject.model),
    )


def step_ratio(model: SequenceModel) -> str:
    """The CPU time of a training step over that of our transformer."""
    ours = Transformer(SPEC, **SIZES, dropout=0.0, backend="torch")
    inputs = random_inputs(SPEC, BATCH, SPEC.max_length)
    steps = {"ours": lambda: step(ours, inputs), "theirs": lambda: step(model, inputs)}
    times = in_turns(steps, repeats=REPEATS)
    ratio = statistics.median(times["theirs"]) / statistics.median(times["ours"])
    return f"{ratio:.1f}"


def step(model: SequenceModel, inputs: Tensor) -> None:
    """Forward and backward."""
    model.train()
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), inputs.flatten()).backward()


def summary(rows: list[Row], version: str) -> str:
    """The head of the page: how many types do what."""
    works = [row for row in rows if not row.refused]
    rereading = sum(row.steps == "read again" for row in works)
    kept = len(works) - rereading
    whole = sum(row.gradients == "all" for row in works)
    see = sum(row.causal == "no" for row in rows)
    sizes = ", ".join(f"{key} {value}" for key, value in SIZES.items())
    return f"""# Types of transformers

Of the {len(rows)} types that transformers {version} has for causal language models,
**{len(works)} work as `model=hf`**: they are causal, and rows do not mix. {kept} of these keep a state,
{rereading} read everything again at each step. {whole} have a gradient in every parameter.
{see} see the future or mix rows.
{len(rows) - len(works) - see} cannot be built from these sizes, or do not read tokens alone.

Sizes: {sizes}, vocabulary 7, 33 steps.
A step is forward and backward on {BATCH} rows, CPU time on one thread, median of {REPEATS} turns.
Its ratio is that to our `transformer` of these sizes (`model.backend=torch`).
Python {platform.python_version()}, torch {torch.__version__},
{platform.machine()}. `PYTHONPATH=. python benchmarks/hf_types.py` prints this page.
"""


def main() -> None:
    torch.set_num_threads(1)
    transformers = library()
    names = sorted(transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    rows = []
    for name in sys.argv[1:] or names:
        rows.append(scanned(name))
        print(rows[-1], file=sys.stderr, flush=True)
    print(summary(rows, transformers.__version__))
    works = [row for row in rows if not row.refused]
    print("| type | parameters | a step | gradients | step time, ratio |\n|---|---|---|---|---|")
    for row in works:
        print(f"| {row.type} | {row.parameters} | {row.steps} | {row.gradients} | {row.step_time} |")
    print("\n## Refused\n\n| type | why |\n|---|---|")
    for row in rows:
        if row.refused:
            print(f"| {row.type} | {row.refused} |")


if __name__ == "__main__":
    main()
