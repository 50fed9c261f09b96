"""Whose profile it is: a model, a variant or a plug-in's, with overrides of its own keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from seqlab import plugins
from seqlab.errors import InputError, nearest
from seqlab.files import at_home
from seqlab.places import CONF
from seqlab.run.keys import groups
from seqlab.run.values import key_of

GROUPS = ("model", "variant")


@dataclass(frozen=True)
class Model:
    """A model that goes through a suite.

    name: of the model or the variant.
    group: which of the two.
    options: overrides of its keys, in the order in which they were typed.
    """

    name: str
    group: str
    options: tuple[str, ...] = ()

    @property
    def overrides(self) -> list[str]:
        """As `seqlab train` takes them."""
        return [f"{'+' if self.group == 'variant' else ''}{self.group}={self.name}", *self.options]

    @property
    def label(self) -> str:
        """Its name in tables."""
        return " ".join([self.name, *self.options])


def models_of(overrides: Sequence[str], names: str | None, config_dir: str | None = None) -> list[Model]:
    """The models that a command line names.

    Args:
        overrides: model=NAME or variant=NAME, and model.KEY=VALUE.
        names: of --model: several names, commas between; those of variants come before those of models.
        config_dir: an additional folder of configurations.

    Raises:
        InputError: there is no such model, or an override is not about the model.
    """
    known = groups([CONF, *plugins.folders(), *([] if config_dir is None else [at_home(config_dir)])])
    chosen: list[tuple[str, str]] = []
    options: list[str] = []
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if key in GROUPS:
            chosen.append((key, value))
        elif key_of(text).startswith("model."):
            options.append(text)
        else:
            raise InputError(
                f"{text}: a profile takes the model alone: model=NAME, variant=NAME, model.KEY=VALUE; "
                "the suite says the rest"
            )
    for name in filter(None, [] if names is None else names.split(",")):
        chosen.append(("variant" if name in known["variant"] else "model", name))
    for group, name in chosen:
        if name not in known[group]:
            both = [*known["model"], *known["variant"]] if names else known[group]
            raise InputError(f"{group}={name}: no such {group}; {nearest(name, dict.fromkeys(both))}")
    if options and len(chosen) != 1:
        raise InputError(f"{options[0]}: whose? give one model=NAME or variant=NAME with it")
    if len({name for _, name in chosen}) < len(chosen):
        raise InputError("a model is named twice")
    return [Model(name, group, tuple(options)) for group, name in chosen]
