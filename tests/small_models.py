"""Every sequence model of conf/model, built small: a new model is covered by its YAML alone.

Sequence models are those of seqlab.models. A domain's own models have their tests in tests/DOMAIN.
"""

from functools import cache
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from seqlab.model import SequenceModel
from seqlab.run.build import construct
from seqlab.run.config import composed
from seqlab.spec import Classes, Spec, Tokens, Values, Vectors

MODEL_DIR = Path(__file__).parents[1] / "conf" / "model"
MODELS = sorted(
    path.stem
    for path in MODEL_DIR.glob("*.yaml")
    if OmegaConf.load(path)["_target_"].startswith("seqlab.models.")  # type: ignore[index]
)

# Taken over for the keys that a model's YAML has, and those of the model inside it.
SMALL_SIZES = {"d_model": 16, "num_layers": 2, "num_heads": 4, "ff_dim": 24, "hidden_dim": 12}


def token_spec(max_length: int = 9, vocabulary: int = 7) -> Spec:
    """Next-token prediction, as on a grammar."""
    return Spec(Tokens(vocabulary), Classes(vocabulary), max_length=max_length, sos=0, eos=1, pad=2)


def vector_spec(max_length: int = 9) -> Spec:
    """Regression from real vectors."""
    return Spec(Vectors(3), Values(2), max_length=max_length)


@cache
def options_of(name: str) -> DictConfig:
    """The node `model` of model=NAME, with all defaults."""
    return composed([f"model={name}"], MODEL_DIR.parent).model


def small_model(name: str, spec: Spec, *, seed: int = 0, **options) -> SequenceModel:
    """The model of conf/model/NAME.yaml with small sizes and initial weights of `seed`, in training mode.

    Options of the model inside another one have names with a dot: {"body.dropout": 0.5}.
    """
    config = OmegaConf.create(OmegaConf.to_container(options_of(name)))
    for node in (config, *(part for part in config.values() if isinstance(part, DictConfig) and "_target_" in part)):
        node.update({key: size for key, size in SMALL_SIZES.items() if key in node})
    for key, value in options.items():
        OmegaConf.update(config, key, value, merge=False)
    torch.manual_seed(seed)
    return construct(OmegaConf.to_container(config), spec=spec)  # type: ignore[arg-type]


def lively(model: SequenceModel) -> SequenceModel:
    """With weights so large that the model says different things after different prompts."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def ragged_prompts(lengths: list[int], *, seed: int = 0) -> tuple[list[list[int]], Tensor, Tensor]:
    """Random prompts that start with SOS: lists, and ids and lengths, filled up with EOS that nobody should read."""
    generator = torch.Generator().manual_seed(seed)
    rows = [[0, *torch.randint(7, (length - 1,), generator=generator).tolist()] for length in lengths]
    padded = torch.tensor([row + [1] * (max(lengths) - len(row)) for row in rows])
    return rows, padded, torch.tensor(lengths)
