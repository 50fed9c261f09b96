"""A package of somebody else, with a model of its own."""

MODEL = """
from torch import nn

from seqlab.models.linear import Linear


class Mine(Linear):
    pass


class NoModel:
    pass


class Plain(nn.Module):
    def __init__(self, width=3):
        super().__init__()


def made(spec) -> Linear:
    return Linear(spec)
"""
YAML = "defaults: [linear, _self_]\n_target_: {}.model.Mine\n"


def leave_package(folder, text=MODEL):
    """Make a package in a folder of its name: this text as model.py, and a YAML of its model. Returns the folder."""
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "model.py").write_text(text, encoding="utf-8")
    yaml = folder / "conf" / "model" / f"{folder.name}_model.yaml"
    yaml.write_text(YAML.format(folder.name), encoding="utf-8")
    return folder
