"""A configuration is held against the constructors' annotations before anything is constructed."""

from pathlib import Path

import pytest

from seqlab.check import check
from seqlab.errors import InputError
from seqlab.run.build import configuration
from tests.overridden import with_value

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
    ("key", "value", "kind"),
    [
        ("model", {"d_model": 8}, "Module"),
        ("model", {}, "Module"),
        ("model", {"d_model": 8, "inner": {"_target_": "seqlab.models.linear.Linear"}}, "Module"),
        ("data", {"length": 16}, "DataModule"),
        ("task", {"loss": "mean"}, "Task"),
        ("schedule", {"warmup": 3}, "Schedule"),
        ("data.grammar", {"name": "L5"}, "Grammar"),
    ],
)
def test_a_yaml_without_a_target_is_told_so(refused, key, value, kind):
    assert refused(key, value) == (
        f"{key}={value}: no _target_ says which {kind} to construct; "
        f"the YAML that is chosen for {key} needs a line _target_: package.module.Class"
    )


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
