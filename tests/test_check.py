"""A configuration is held against the constructors' annotations before anything is constructed."""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import Optimizer

from rule_extrapolation.grammars import Grammar
from seqlab.check import PACKAGES, check
from seqlab.errors import InputError
from seqlab.run.build import build, configuration
from seqlab.schedule import Schedule

CONF = Path(__file__).parents[1] / "conf"
# The file L5.yaml is the choice data=L5; logger, trainer ... likewise. A task belongs to its data,
# ablation, mended, variant to experiments (see test_ablation.py, test_mended.py and test_experiments.py in tests), a
# language to two data sets; a search and a suite are no group (tests/search, tests/profile).
NO_CHOICE = ("task", "experiment", "pair", "size", "ablation", "mended", "variant", "language", "search", "suite")
CHOICES = [
    f"{group.name}={path.stem}"
    for group in sorted(CONF.iterdir())
    if group.is_dir() and group.name not in NO_CHOICE
    for path in sorted(group.glob("*.yaml"))
]


def with_value(config, key, value):
    """The configuration with one dotted key set."""
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    return config


@pytest.fixture
def refused(compose):
    """(dotted key, value) -> the message with which it is refused."""

    def message(key, value, *overrides):
        config = compose(*overrides)
        with pytest.raises(InputError) as caught:
            check(with_value(config, key, value), configuration)
        return str(caught.value)

    return message


@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_layers_without_number_are_refused_before_they_are_made(path, compose):
    """They would fill the memory one by one."""
    config = compose(f"model={path.stem}")
    if "num_layers" in config["model"]:
        with pytest.raises(
            InputError, match=r"^model.num_layers=1000000000: input should be less than or equal to 1000"
        ):
            check(with_value(config, "model.num_layers", 10**9), configuration)


def test_a_prompt_has_at_most_a_thousand_symbols(compose):
    """Before 4 to that power is worked out."""
    for key, value in (("eval.prompt_lengths", [10**11]), ("data.prompt_lengths", [4, 1001])):
        with pytest.raises(InputError, match=rf"^{key}=.*less than or equal to 1000"):
            check(with_value(compose(), key, value), configuration)


def test_there_are_choices():
    assert {"model=transformer", "data=L5", "optimizer=sgd", "logger=csv", "trainer=fast"} <= set(CHOICES)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_passes(compose, choice):
    check(compose(choice, full=True), configuration)


def test_every_language_passes(compose):
    for path in (CONF / "language").glob("*.yaml"):
        check(compose("data=recognition", f"language={path.stem}", full=True), configuration)


def test_every_experiment_passes(compose):
    for path in (CONF / "experiment").glob("*.yaml"):
        check(compose(f"experiment={path.stem}", full=True), configuration)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.d_model", "8"),
        ("model.d_model", 8.0),
        ("model.d_model", True),
        ("model.d_model", None),
        ("model.d_model", [8]),
        ("model.d_model", {"size": 8}),
        ("model.d_model", 0),
        ("model.num_heads", -1),
        ("model.dropout", "0.1"),
        ("model.dropout", True),
        ("model.dropout", 1.0),
        ("model.dropout", -0.1),
        ("model.dropout", float("nan")),
        ("model.norm", "both"),
        ("model.norm", None),
        ("data.batch_size", 0),
        ("data.max_length", -4),
        ("data.num_train", 0),
        ("data.num_train", "all"),
        ("data.split", "mixed"),
        ("data.seed", -1),
        ("data.grammar", "dyck"),
        ("data.grammar", None),
        ("optimizer.lr", 0),
        ("optimizer.lr", -1e-3),
        ("optimizer.lr", "fast"),
        ("optimizer.betas", [0.9]),
        ("optimizer.betas", [0.9, 1.0]),
        ("optimizer.betas", [0.9, "0.999"]),
        ("optimizer.betas", 0.9),
        ("optimizer.weight_decay", -0.1),
        ("schedule.warmup", 0),
        ("schedule.warmup", 2.5),
        ("schedule.unit", "batch"),
        ("trainer.max_steps", 0),
        ("trainer.val_every", 0),
        ("trainer.patience", "10"),
        ("trainer.precision", "16"),
        ("trainer.precision", 32),
        ("trainer.accelerator", "abacus"),
        ("trainer.gradient_clip", 0.0),
        ("task.eval_max_length", 0),
        ("seed", "one"),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", True),
        ("compile", "yes"),
        ("compile", 1),
        ("debug", None),
        ("model", "transformer"),
        ("data", None),
        ("optimizer", []),
    ],
)
def test_bad_values_are_refused_by_name_and_value(refused, key, value):
    assert refused(key, value).startswith(f"{key}={tuple(value) if isinstance(value, tuple) else value}: ")


def test_allowed_values_are_named(refused):
    assert "'causal' or 'upstream'" in refused("model.mask", "anti", "model=linear")
    assert "'step' or 'epoch'" in refused("schedule.unit", "batch")
    assert "greater than or equal to 1" in refused("data.batch_size", 0)
    assert "less than 1" in refused("model.dropout", 1.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer.betas", [0.8, 0.9]),  # YAML has no tuples
        ("model.dropout", 0),  # an integer is a number
        ("optimizer.lr", 1),
        ("data.num_train", None),
        ("trainer.gradient_clip", None),
        ("seed", 2**32 - 1),
    ],
)
def test_good_values_pass(compose, key, value):
    check(with_value(compose(), key, value), configuration)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("model.num_layer", "num_layers"),
        ("data.max_lenght", "max_length"),
        ("optimizer.lrr", "lr"),
        ("schedule.warm_up", "warmup"),
        ("trainer.max_step", "max_steps"),
        ("sed", "seed"),
    ],
)
def test_unknown_keys_are_answered_with_the_nearest(refused, key, nearest):
    assert refused(key, 1).startswith(f"{key}: no such key; did you mean {nearest}? (allowed: ")


def test_what_code_hands_over_is_no_key_of_the_user(refused):
    assert "model" not in refused("optimizer.modle", 1).split("allowed: ")[1].split(", ")


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


@pytest.mark.parametrize("key", ["model", "data", "seed", "optimizer"])
def test_a_missing_part_is_named(compose, key):
    config = compose()
    del config[key]
    with pytest.raises(InputError, match=f"^{key}: missing"):
        check(config, configuration)


@pytest.mark.parametrize("data", ["copy", "L5", "series"])
def test_what_code_hands_over_is_refused_where_a_file_names_it(refused, data):
    """In one line: a stranger's file may hold it."""
    assert refused("task.datamodule", 5, f"data={data}").startswith("task.datamodule=5: ")


def test_a_name_where_a_configuration_belongs_is_answered_with_the_override_that_puts_one_there(refused):
    said = refused("model.body", "lstm", "model=arithmetic", "data=recurrence")
    assert said == (
        "model.body=lstm: needs a configuration with _target_, not a name; model@model.body=lstm puts one there"
    )
