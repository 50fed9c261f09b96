"""A configuration is held against the constructors' annotations before anything is constructed."""

from pathlib import Path

import pytest

from seqlab.check import as_typed, check
from seqlab.errors import InputError
from seqlab.runs import build, configuration

CONF = Path(__file__).parents[1] / "conf"
# The file L5.yaml is the choice data=L5; logger, trainer ... likewise. A task belongs to its data;
# a search is no group (tests/search).
CHOICES = [
    f"{group.name}={path.stem}"
    for group in sorted(CONF.iterdir())
    if group.is_dir() and group.name not in ("task", "experiment", "pair", "search")
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


def test_there_are_choices():
    assert {"model=transformer", "data=L5", "optimizer=sgd", "logger=csv", "trainer=fast"} <= set(CHOICES)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_passes(compose, choice):
    check(compose(choice, full=True), configuration)


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
    {"_target_": "seqlab.files.os.system", "command": "true"},  # an allowed module's own import
    {"_target_": "seqlab.runs.instantiate", "config": {}},
    {"_target_": "rule_extrapolation.datamodule.torch.load", "f": "x"},
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


@pytest.mark.parametrize("name", ["seqlab.models.nothing.Nothing", "rule_extrapolation.dyck.Dick", "seqlab.runs"])
def test_targets_that_cannot_be_called_are_refused(refused, name):
    assert refused("model", {"_target_": name}).startswith(f"model._target_={name} cannot be loaded: ")


@pytest.mark.parametrize("key", ["model", "data", "seed", "optimizer"])
def test_a_missing_part_is_named(compose, key):
    config = compose()
    del config[key]
    with pytest.raises(InputError, match=f"^{key}: missing"):
        check(config, configuration)


SERIES = ("data=series", "data.csv=some.csv", "data.column=x")


@pytest.mark.parametrize("text", ["2020", "1e3", "1.50", "+5", "1_000", "true", "FALSE", "inf"])
def test_characters_count_where_a_text_is_wanted(compose, text):
    assert as_typed(compose(*SERIES), configuration, [f"data.column={text}"]) == {"data.column": text}


@pytest.mark.parametrize(
    "word",
    ["data.window=24", "seed=2", "data.center=true", "optimizer.lr=1e-3", "data.column='2020'", "data.column=007",
     "data.column=null", "data.csv=a.csv", "trainer.precision=16", "eval.max_length=3", "~data.column", "nope.x=1"],
)  # fmt: skip
def test_elsewhere_a_value_stays_as_it_is_read(compose, word):
    assert as_typed(compose(*SERIES), configuration, [word]) == {}


def test_the_last_word_about_a_key_counts(compose):
    assert as_typed(compose(*SERIES), configuration, ["data.column=1", "data.column=2"]) == {"data.column": "2"}
    assert as_typed(compose(*SERIES), configuration, ["data.column=1", "data.column='y'"]) == {}


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("data.column=[ppm]", "'data.column=\"[ppm]\"'"),
        ("data.column={a: 1}", "'data.column=\"{a: 1}\"'"),
        ("data.name=null", "'data.name=\"null\"'"),
    ],
)
def test_what_is_no_text_is_refused_with_the_text_in_quotes(compose, word, form):
    with pytest.raises(InputError) as caught:
        as_typed(compose(*SERIES), configuration, [word])
    assert str(caught.value) == f"{word}: a text is wanted; this one is {form}"
