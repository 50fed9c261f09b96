"""What a configuration may construct and call: nothing foreign, and each thing in its place alone."""

import inspect
import pkgutil
from importlib import import_module

import pytest
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import Optimizer

from rule_extrapolation.grammars import Grammar
from seqlab.check import PACKAGES
from seqlab.errors import InputError
from seqlab.run.build import build
from seqlab.schedule import Schedule
from tests.overridden import with_value

FORBIDDEN = [
    {"_target_": "os.system", "command": "true"},
    {"_target_": "subprocess.Popen", "args": ["true"]},
    {"_target_": "builtins.eval"},
    {"_target_": "torch.load", "f": "x"},
    {"_target_": "lightning.pytorch.loggers.WandbLogger"},
    {"_target_": "seqlabx.models.linear.Linear"},
    {"_target_": "seqlab.files.os"},  # what a module of ours imports
    {"_target_": "seqlab.search.study.create_trial"},
    {"_target_": "seqlab.run.build"},
    {"_target_": "seqlab.run.launch.waited_for", "command": ["true"]},  # ours, and of no class that belongs anywhere
    {"_target_": "seqlab.check.check"},
    {"_target_": "seqlab.decode.decode"},
    {"_target_": "seqlab.lit.datamodule.BlockStream"},
    {"_target_": ["os.system"]},
    {"_target_": None},
]


@pytest.mark.parametrize("node", FORBIDDEN, ids=lambda node: str(node["_target_"]))
@pytest.mark.parametrize("key", ["model", "data.grammar", "logger.other", "eval.x"])
def test_foreign_targets_are_refused_wherever_they_stand(refused, key, node):
    assert refused(key, node).startswith(f"{key}._target_={node['_target_']} is not allowed (allowed: ")


def test_foreign_targets_are_refused_in_lists(refused):
    bad = {"_target_": "os.system", "command": "true"}
    assert refused("logger.csv", [{"deep": [1, bad]}]).startswith("logger.csv[0].deep[1]._target_=os.system is not")
    assert refused("optimizer.betas", [0.9, bad]).startswith("optimizer.betas[1]._target_=os.system is not allowed")


def test_nothing_foreign_runs(compose, tmp_path):
    bad = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    with pytest.raises(InputError, match=r"os\.mkdir is not allowed"):
        build(with_value(compose(), "data.grammar", bad))
    assert not (tmp_path / "made").exists()


OTHER_PLACES = [
    ("model", "seqlab.schedule.ConstantRate", "Module"),
    ("schedule", "rule_extrapolation.dyck.Dyck", "Schedule"),
    ("optimizer", "seqlab.lit.trainer.build_trainer", "Optimizer"),
    ("trainer", "seqlab.optim.sgd", "Trainer"),
    ("data", "rule_extrapolation.task.RuleExtrapolation", "DataModule"),
    ("task", "rule_extrapolation.datamodule.GrammarDataModule", "Task"),
    ("logger.other", "seqlab.lit.clipping.AdaptiveClipping", "Logger"),
    ("data.grammar", "seqlab.models.linear.Linear", "Grammar"),
]


@pytest.mark.parametrize(("key", "name", "allowed"), OTHER_PLACES)
def test_what_belongs_elsewhere_is_refused(refused, key, name, allowed):
    assert refused(key, {"_target_": name}).startswith(
        f"{key}._target_={name} is not allowed (allowed: a {allowed} of "
    )


def test_a_base_class_is_refused(refused):
    assert "Grammar is abstract" in refused("data.grammar", {"_target_": "rule_extrapolation.grammars.Grammar"})


@pytest.mark.parametrize("key", ["_args_", "_partial_", "_recursive_", "_convert_"])
def test_hydra_s_own_keys_of_a_node_are_no_keys(refused, key):
    assert refused("data.grammar", {"_target_": "rule_extrapolation.dyck.Dyck", key: []}).startswith(
        f"data.grammar.{key}: no such key"
    )


def functions_that_make(kinds):
    """The names of all functions of this project that are declared to return exactly one of these classes."""
    found = set()
    for package in PACKAGES:
        root = import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            members = vars(import_module(module.name)).values()
            for function in (m for m in members if inspect.isfunction(m) and m.__module__ == module.name):
                public = not function.__name__.startswith("_")
                if public and function.__annotations__.get("return") in kinds:
                    found.add(f"{function.__module__}.{function.__qualname__}")
    return found


def test_the_functions_that_a_configuration_may_call_are_these():
    kinds = (nn.Module, Optimizer, Trainer, LightningDataModule, Logger, Schedule, Grammar, Callback)
    assert functions_that_make(kinds) == {
        "seqlab.optim.adamw", "seqlab.optim.sgd", "seqlab.optim.rmsprop", "seqlab.optim.rprop",
        "seqlab.lit.trainer.build_trainer",
        "seqlab.export.quantize.quantize", "seqlab.nn.embedding.input_layer", "seqlab.lit.progress.progress",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["seqlab.models.nothing.Nothing", "rule_extrapolation.dyck.Dick", "seqlab.files.os.x"])
def test_targets_that_cannot_be_loaded_are_refused(refused, name):
    key = "data.grammar" if "dyck" in name else "model"
    assert refused(key, {"_target_": name}).startswith(f"{key}._target_={name} cannot be loaded: ")
