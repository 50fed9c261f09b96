"""The losses of the first 20 training steps of every model, small, on the strings of L5, in float64.

A processor rounds as its vector units and its number of threads have it, and training lets that grow: in float32 by
several percent within these steps, in float64 to about 1e-14. So a tolerance of 1e-9 holds on any processor, and a
fault that changes a loss by more than that is seen. Without dropout: torch draws other masks in other versions.

    python -m tests.golden.make_losses          adds to tests/golden/losses.json the models that it lacks
    python -m tests.golden.make_losses lstm     writes those of the lstm anew, after a change that means to change them
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.optim import Optimizer

from rule_extrapolation.datamodule import GrammarDataModule
from rule_extrapolation.dyck import Dyck
from rule_extrapolation.metrics import token_loss
from seqlab.files import write_json
from seqlab.lit.hyperparameters import flattened
from seqlab.optim import adamw
from tests.small_models import MODELS, options_of, small_model

FILE = Path(__file__).with_name("losses.json")
TOLERANCE = 1e-9  # relative
OURS = [name for name in MODELS if name != "hf"]  # its initial weights are drawn by whichever version of transformers
STEPS = 20

Change = Callable[[nn.Module, Optimizer], None]


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """What is made inside is float64 from its first number on: initial weights differ between processors, too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def strings_of_L5() -> GrammarDataModule:
    """Few and short strings; `train_batch(step)` is a function of the step."""
    return GrammarDataModule(grammar=Dyck(), max_length=16, batch_size=16, seed=1)


def next_symbol_loss(model: nn.Module, strings: Tensor) -> Tensor:
    """The mean cross-entropy of the next symbol, in nats."""
    return token_loss(model(strings[:, :-1]), strings[:, 1:])[0]


def no_dropout(name: str) -> dict[str, float]:
    """The options that switch a model's dropout off, and that of the model inside it."""
    names = (path.replace("/", ".") for path in flattened(OmegaConf.to_container(options_of(name))))
    return {path: 0.0 for path in names if path.endswith("dropout")}


def training_losses(
    name: str, *, change: Change | None = None, order: Callable[[Tensor], Tensor] | None = None, **options
) -> list[float]:
    """Cross-entropy in nats before each step of AdamW, without dropout.

    Args:
        name: a model of conf/model.
        change: done to the model and the optimizer before the first step.
        order: puts the strings of each batch into another order, in which losses and gradients are then summed.
        options: of the model, over those of its YAML.
    """
    options = no_dropout(name) | options
    with float64():
        data = strings_of_L5()
        model = small_model(name, data.spec, seed=1, **options).train()
        optimizer = adamw(model, lr=0.01)
        if change is not None:
            change(model, optimizer)
        losses = []
        for step in range(STEPS):
            strings = data.train_batch(step)
            if order is not None:
                strings = order(strings)
            loss = next_symbol_loss(model, strings)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def write_losses(file: Path, names: Collection[str] = ()) -> list[str]:
    """Write the losses of the models that are named, or of those that the file lacks; returns their names."""
    golden = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    written = [name for name in OURS if (name in names if names else name not in golden)]
    golden |= {name: training_losses(name) for name in written}
    write_json(file, dict(sorted(golden.items())))
    return written


def main(arguments: Sequence[str] | None = None, file: Path = FILE) -> int:
    """Parse the command line and write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make_losses", description="write golden losses")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"one of {', '.join(OURS)}; default: missing ones")
    names = parser.parse_args(arguments).models
    if unknown := sorted(set(names) - set(OURS)):
        parser.error(f"no such model: {', '.join(unknown)}; allowed: {', '.join(OURS)}")
    print(f"{file}: wrote {', '.join(write_losses(file, names)) or 'nothing, it has every model'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
