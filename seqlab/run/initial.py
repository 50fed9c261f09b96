"""Starts a run from the weights of another: init_from=RUN, for finetuning on other data."""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from seqlab.errors import InputError
from seqlab.files import at_home
from seqlab.kept import DIGITS_SHOWN, FileRecord, records_of
from seqlab.lit.checkpoints import load_checkpoint, refuse_old
from seqlab.lit.module import Module
from seqlab.run.directory import RunDirectory


class Initial(BaseModel):
    """Where the weights came from with which a run began. Every checkpoint of the run keeps it.

    source: what init_from says.
    record: size and SHA-256 of the checkpoint file.
    step: its optimizer steps.
    taken: the number of layers that were taken over.
    left: the names of those that stayed as initialised, because the file has none of that name and shape.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    source: str
    record: FileRecord
    step: int
    taken: int
    left: list[str]

    def __str__(self) -> str:
        origin = f"{self.source} (step {self.step}, SHA-256 {self.record.sha256[:DIGITS_SHOWN]})"
        left = f"as initialised: {', '.join(self.left)}" if self.left else "none stays as initialised"
        return f"Began with the weights of {origin}: {self.taken} layers; {left}."


def take_weights(module: Module, source: str) -> Initial:
    """Copy the weights of another run into a module, layer by layer.

    A layer is a module of the network, such as model.layers.0.norm1, or a parameter of the network itself. It is taken
    over if the file has all of its tensors under the same names in the same shapes. Nothing in the file is run: it
    holds tensors and plain types (docs/security.md).

    Args:
        module: gets the weights.
        source: a run directory, of which best.ckpt is read, or a checkpoint file.

    Raises:
        InputError: there is no readable checkpoint, or no layer of it fits.
    """
    path = at_home(source)
    file = RunDirectory(path).best if path.is_dir() else path
    try:
        content = load_checkpoint(file)
        state, step = content.get("state_dict"), content.get("global_step")
        if not (isinstance(state, Mapping) and isinstance(step, int)) or not all(map(is_tensor, state.values())):
            raise InputError(f"{file} is not a checkpoint of SeqLab")
        refuse_old(content.get("version"), file)
        record = _record(file)
    except ValueError as error:
        raise InputError(f"init_from={source}: {error}") from error
    own = module.state_dict()
    layers: dict[str, list[str]] = {}
    for name in own:
        layers.setdefault(layer_of(name), []).append(name)
    fitting = [
        layer
        for layer, names in layers.items()
        if all(name in state and state[name].shape == own[name].shape for name in names)
    ]
    if not fitting:
        raise InputError(f"init_from={source}: no layer of {file} has the name and shape of one of this model")
    with torch.no_grad():
        for name in (name for layer in fitting for name in layers[layer]):
            own[name].copy_(state[name])
    left = [layer for layer in layers if layer not in fitting]
    return Initial(source=source, record=record, step=step, taken=len(fitting), left=left)


def layer_of(name: str) -> str:
    """The layer of a tensor of a state_dict of a `Module`.

    >>> layer_of("model.layers.0.norm1.weight"), layer_of("model.weight_SCTV")
    ('layers.0.norm1', 'weight_SCTV')
    """
    inside = name.removeprefix("model.")
    return inside.rpartition(".")[0] or inside


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor."""
    return isinstance(value, Tensor)


def _record(file: Path) -> FileRecord:
    return records_of({str(file): file})[str(file)]
